#include "serve/access.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <utility>

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

/// One spelling for each address; IPv4 in IPv6 is IPv4. Nothing: it is none.
std::optional<std::string> v6_address(const std::string& text) {
  in6_addr address{};
  if (::inet_pton(AF_INET6, text.c_str(), &address) != 1) return std::nullopt;
  std::array<char, INET6_ADDRSTRLEN> one{};
  if (IN6_IS_ADDR_V4MAPPED(&address)) return ::inet_ntop(AF_INET, &address.s6_addr[12], one.data(), one.size());
  return ::inet_ntop(AF_INET6, &address, one.data(), one.size());
}

/// ::1, or 127.0.0.0/8 in its usual form.
bool is_loopback(const std::string& name) {
  in_addr address{};
  if (::inet_pton(AF_INET, name.c_str(), &address) != 1) return name == "::1";
  return ntohl(address.s_addr) >> 24U == 127;
}

bool is_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

struct Authority {
  std::string host;       ///< name or address, without brackets, in lower case, an address in one spelling
  std::string_view port;  ///< digits, or nothing
};

/// Nothing: no such thing.
std::optional<Authority> authority_in(std::string_view text) {
  Authority authority;
  auto rest = text;
  if (text.starts_with('[')) {
    const auto close = std::min(text.find(']'), text.size() - 1);
    auto address = v6_address(std::string(text.substr(1, close - 1)));
    if (!address || text[close] != ']') return std::nullopt;
    authority.host = std::move(*address);
    rest.remove_prefix(close + 1);
  } else {
    rest.remove_prefix(std::min(text.find(':'), text.size()));
    authority.host = lower(text.substr(0, text.size() - rest.size()));
    if (authority.host.ends_with('.')) authority.host.pop_back();  // localhost. is localhost
  }
  if (authority.host.empty()) return std::nullopt;
  if (rest.empty()) return authority;
  authority.port = rest.substr(1);
  return rest[0] == ':' && is_digits(authority.port) ? std::optional(authority) : std::nullopt;
}

/// Labels of letters, digits and hyphens, none of them empty; in lower case.
bool is_host_name(std::string_view name) {
  char before = '.';
  for (const char c : name) {
    if (c == '.' ? before == '.' : !(is_digits({&c, 1}) || (c >= 'a' && c <= 'z') || c == '-')) return false;
    before = c;
  }
  return before != '.';
}

bool is_allowed(const AccessRules& rules, const std::string& host) {
  if (host == "localhost" || is_loopback(host)) return true;
  if (host.ends_with(".localhost") && is_host_name(host)) return true;
  return std::any_of(rules.allowed_hosts.begin(), rules.allowed_hosts.end(), [&](const std::string& allowed) {
    const auto name = lower(allowed);
    return v6_address(name).value_or(name) == host;
  });
}

/// Browsers leave the port of the scheme out.
bool is_own_page(const AccessRules& rules, std::string_view origin) {
  for (const auto& [scheme, port] : {std::pair("http://", "80"), std::pair("https://", "443")}) {
    if (!origin.starts_with(scheme)) continue;
    const auto page = authority_in(origin.substr(std::string_view(scheme).size()));
    return page && is_allowed(rules, page->host) &&
           (page->port.empty() ? port : page->port) == std::to_string(rules.own_web_port);
  }
  return false;
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
  return (rules.own_web_port != 0 && is_own_page(rules, wanted)) ||
         std::any_of(rules.allowed_origins.begin(), rules.allowed_origins.end(),
                     [&](const std::string& allowed) { return lower(allowed) == wanted; });
}

bool host_allowed(const AccessRules& rules, std::string_view host) {
  const auto authority = authority_in(host);
  return authority && is_allowed(rules, authority->host);
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
