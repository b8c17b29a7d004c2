#include "serve/access.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

#include "base/nearest.h"
#include "base/read_file.h"
#include "crypto/constant_time.h"

namespace qh::serve {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

Result<rpc::RoleSet> roles_of(std::string_view list) {
  rpc::RoleSet roles;
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    const auto name = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    const auto role = rpc::role_named(name);
    if (!role) {
      return fail(Errc::kInvalid, "unknown role '" + std::string(name) + "'" + nearest_hint(name, rpc::kRoleNames) +
                                      "; there are read, submit, consume, validator, admin");
    }
    roles.add(*role);
  }
  return roles;
}

bool is_name(std::string_view name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), good);
}

/// 127.0.0.0/8 in its usual form.
bool is_loopback_v4(std::string_view host) {
  std::array<unsigned, 4> parts{};
  const char* at = host.data();
  const char* const end = host.data() + host.size();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && (at == end || *at++ != '.')) return false;
    const auto [stop, error] = std::from_chars(at, end, parts[i]);
    if (error != std::errc() || stop - at > 3 || parts[i] > 255) return false;
    at = stop;
  }
  return at == end && parts[0] == 127;
}

/// Name or address, without port and brackets, in lower case. Nothing: no such thing.
std::optional<std::string> host_name(std::string_view host) {
  if (host.starts_with('[')) {
    const auto close = host.find(']');
    if (close == host.npos) return std::nullopt;
    const auto rest = host.substr(close + 1);
    if (!rest.empty() && !rest.starts_with(':')) return std::nullopt;
    return lower(host.substr(1, close - 1));
  }
  const auto colon = host.find(':');
  auto name = lower(host.substr(0, colon));
  if (name.ends_with('.')) name.pop_back();  // localhost. is localhost
  if (name.empty()) return std::nullopt;
  if (colon == host.npos) return name;
  const auto port = host.substr(colon + 1);
  if (!std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  return name;
}

}  // namespace

Result<TokenTable> TokenTable::parse(std::string_view text) {
  TokenTable table;
  std::istringstream lines{std::string(text)};
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::istringstream words(line);
    std::string name, digest, roles, more;
    words >> name >> digest >> roles >> more;
    if (name.empty() || name.starts_with('#')) continue;
    const auto bad = [&](const std::string& why) {
      return fail(Errc::kInvalid, "line " + std::to_string(number) + ": " + why);
    };
    if (roles.empty() || !more.empty())
      return bad("expected three words: name, SHA-256 of the token in hex, roles (read,submit)");
    if (!is_name(name)) return bad("a name has at most 64 of a-z, 0-9, - _ and .");
    const auto bytes = from_hex(digest);
    Entry entry;
    if (!bytes || bytes->size() != entry.digest.size()) {
      return bad("the second word is not the 64 hex digits of a SHA-256 (printf %s TOKEN | sha256sum)");
    }
    std::copy(bytes->begin(), bytes->end(), entry.digest.begin());
    const auto set = roles_of(roles);
    if (!set) return bad(set.error().context);
    entry.caller = {name, *set};
    entry.line = number;
    if (const auto why = table.why_taken(entry); !why.empty()) return bad(why);
    table.entries_.push_back(std::move(entry));
  }
  return table;
}

/// Two lines of one name or one token would leave it to chance which is meant. Empty: neither is there.
std::string TokenTable::why_taken(const Entry& entry) const {
  for (const auto& other : entries_) {
    const auto where = " stands in line " + std::to_string(other.line) + " as well";
    if (other.caller.name == entry.caller.name) return "the name " + entry.caller.name + where;
    if (crypto::equal(other.digest, entry.digest)) return "the token of " + entry.caller.name + where;
  }
  return {};
}

Result<TokenTable> TokenTable::load(const std::filesystem::path& file) {
  const auto text = read_file(file, kTokenFileBytesMax);
  if (!text) return fail(text.error());
  auto table = parse(*text);
  if (!table) return fail(std::move(table.error()).in("token file " + file.string()));
  if (table->size() == 0) return fail(Errc::kInvalid, "token file " + file.string() + " has no token in it");
  return table;
}

std::optional<rpc::Caller> TokenTable::find(std::string_view token) const {
  const auto digest = crypto::sha256(as_bytes(token));
  const Entry* found = nullptr;
  for (const auto& entry : entries_) {
    if (crypto::equal(entry.digest, digest)) found = &entry;  // all are compared, whichever it is
  }
  return found != nullptr ? std::optional(found->caller) : std::nullopt;
}

bool origin_allowed(const AccessRules& rules, std::string_view origin) {
  const auto wanted = lower(origin);
  return std::any_of(rules.allowed_origins.begin(), rules.allowed_origins.end(),
                     [&](const std::string& allowed) { return lower(allowed) == wanted; });
}

bool host_allowed(const AccessRules& rules, std::string_view host) {
  const auto name = host_name(host);
  if (!name) return false;
  if (*name == "localhost" || name->ends_with(".localhost") || *name == "::1" || is_loopback_v4(*name)) return true;
  return std::any_of(rules.allowed_hosts.begin(), rules.allowed_hosts.end(),
                     [&](const std::string& allowed) { return lower(allowed) == *name; });
}

std::optional<rpc::Caller> identify(const AccessRules& rules, std::optional<std::string_view> authorization,
                                    bool from_loopback, std::string_view validator) {
  if (authorization) {
    constexpr std::string_view kScheme = "bearer ";
    if (authorization->size() <= kScheme.size() || lower(authorization->substr(0, kScheme.size())) != kScheme)
      return std::nullopt;
    return rules.tokens.find(authorization->substr(kScheme.size()));
  }
  if (!from_loopback || rules.require_token) return std::nullopt;
  return rpc::Caller{std::string(validator), rpc::RoleSet::all()};
}

}  // namespace qh::serve
