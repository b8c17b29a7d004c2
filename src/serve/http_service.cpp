#include "serve/http_service.h"

#include "serve/http_framing.h"

namespace qh::serve {
namespace {

/// What follows the scheme, whose case does not count (RFC 9110 section 4.2.3); nothing for a path alone.
std::string_view behind_scheme(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  return same_name(target.substr(0, kScheme.size()), kScheme) ? target.substr(kScheme.size()) : std::string_view();
}

}  // namespace

HttpAnswer text_answer(int status, std::string line, std::string fields) {
  return {status, std::move(line) + "\n", "text/plain; charset=utf-8", std::move(fields)};
}

std::optional<HttpAnswer> refuses_reader(const rpc::Caller* caller) {
  if (caller == nullptr) {
    return text_answer(401, "a token of --rpc-token-file is needed: Authorization: Bearer TOKEN",
                       "WWW-Authenticate: Bearer\r\n");
  }
  if (!caller->roles.has(rpc::Role::kRead)) return text_answer(403, "this token has not the role read");
  return std::nullopt;
}

bool is_preflight(const RequestHead& head) {
  return head.method == "OPTIONS" && head.field("Origin") && head.field("Access-Control-Request-Method") &&
         !head.has_body;
}

std::string_view path_of(std::string_view target) {
  const auto rest = behind_scheme(target);
  if (rest.empty()) return target;
  const auto slash = rest.find('/');
  return slash == rest.npos ? "/" : rest.substr(slash);
}

std::string_view authority_of(std::string_view target) {
  const auto rest = behind_scheme(target);
  return rest.substr(0, rest.find('/'));
}

}  // namespace qh::serve
