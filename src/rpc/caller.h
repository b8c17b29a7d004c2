// rpc/caller.h - who calls, and what they may do.
//
// Threads  values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qh::rpc {

enum class Role : std::uint8_t { kRead, kSubmit, kConsume, kValidator, kAdmin };
inline constexpr std::array kRoleNames{std::string_view("read"), std::string_view("submit"),
                                       std::string_view("consume"), std::string_view("validator"),
                                       std::string_view("admin")};

constexpr std::string_view role_name(Role role) { return kRoleNames[static_cast<std::size_t>(role)]; }
std::optional<Role> role_named(std::string_view name);

/// Roles are independent of each other: admin alone cannot submit.
class RoleSet {
 public:
  static constexpr RoleSet all() { return RoleSet((1U << kRoleNames.size()) - 1); }
  constexpr RoleSet() = default;
  constexpr void add(Role role) { bits_ |= 1U << static_cast<unsigned>(role); }
  constexpr bool has(Role role) const { return (bits_ >> static_cast<unsigned>(role)) & 1U; }
  friend constexpr bool operator==(RoleSet, RoleSet) = default;

 private:
  constexpr explicit RoleSet(unsigned bits) : bits_(bits) {}
  unsigned bits_ = 0;
};

struct Caller {
  std::string name;  ///< becomes `submitted_by`
  RoleSet roles;
  /// Its connection's end was seen before its call had its turn, so nothing is handed out to it.
  bool gone = false;
};

}  // namespace qh::rpc
