#include "node/addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace qh::node {
namespace {

constexpr int kNoFamily = 0;

struct Address {
  int family = kNoFamily;
  std::array<unsigned char, sizeof(in6_addr)> bytes{};

  bool is_any() const {
    return std::all_of(bytes.begin(), bytes.end(), [](unsigned char byte) { return byte == 0; });
  }
  friend bool operator==(const Address&, const Address&) = default;
};

Address address_of(const std::string& text) {
  Address address;
  for (const int family : {AF_INET, AF_INET6}) {
    if (::inet_pton(family, text.c_str(), address.bytes.data()) == 1) {
      address.family = family;
      break;
    }
  }
  return address;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_name_of_host(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
  });
}

bool is_scheme(std::string_view text) {
  return !text.empty() && is_letter(text.front()) && std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
  });
}

/// Nothing: no port as it is written in an origin.
std::optional<unsigned> port_of(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || text.front() == '0' || port > 65'535)
    return std::nullopt;
  return port;
}

}  // namespace

bool is_address(const std::string& text) { return address_of(text).family != kNoFamily; }

bool is_loopback(const std::string& text) {
  const auto address = address_of(text);
  if (address.family == AF_INET) return address.bytes[0] == 127;
  return address.family == AF_INET6 && address == address_of("::1");
}

std::string in_the_way(const std::string& text, const std::vector<std::string>& earlier) {
  const auto address = address_of(text);
  const auto found = std::find_if(earlier.begin(), earlier.end(), [&](const std::string& one) {
    const auto other = address_of(one);
    return other.family == address.family && (other == address || other.is_any() || address.is_any());
  });
  return found == earlier.end() ? std::string() : *found;
}

bool is_origin(std::string_view text) {
  const auto colon = text.find("://");
  if (colon == text.npos || !is_scheme(text.substr(0, colon))) return false;
  const auto scheme = text.substr(0, colon);
  auto host = text.substr(colon + 3);
  // An IPv6 address has colons of its own, in brackets.
  const auto bracket = host.rfind(']');
  if (const auto at = host.find(':', bracket == host.npos ? 0 : bracket); at != host.npos) {
    const auto port = port_of(host.substr(at + 1));
    if (!port || (scheme == "http" && *port == 80) || (scheme == "https" && *port == 443)) return false;
    host = host.substr(0, at);
  }
  if (host.starts_with('[') && host.ends_with(']'))
    return address_of(std::string(host.substr(1, host.size() - 2))).family == AF_INET6;
  return is_name_of_host(host);
}

bool is_host(std::string_view text) {
  return is_name_of_host(text) || address_of(std::string(text)).family == AF_INET6;
}

}  // namespace qh::node
