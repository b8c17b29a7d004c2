// node/addresses.h - texts that name a place in the network: is it one, and which.
//
// Threads  pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qh::node {

/// An IPv4 or IPv6 address, without a port or brackets.
bool is_address(const std::string& text);
bool is_loopback(const std::string& address);

/// The earlier address that cannot be listened on together with this one: the same, or all of its kind (0.0.0.0, ::).
/// Empty: none.
std::string in_the_way(const std::string& address, const std::vector<std::string>& earlier);

/// As browsers send it: scheme://host[:port], without the scheme's own port and without a path. `null` is none.
bool is_origin(std::string_view text);
/// What a Host header may have: a name or an address, without a port or brackets.
bool is_host(std::string_view text);

}  // namespace qh::node
