// base/strong.h - integers that cannot be mixed up.
//
// Errors   none: conversions are explicit, so a MessageId is never a LeaseId by accident.
// Threads  values.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>

namespace qh {

/// An integer of its own type. `Tag` is any incomplete struct; `Rep` the representation.
template <class Tag, class Rep>
class Strong {
 public:
  using rep = Rep;
  constexpr Strong() = default;
  constexpr explicit Strong(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;

 private:
  Rep value_{};
};

}  // namespace qh

template <class Tag, class Rep>
struct std::hash<qh::Strong<Tag, Rep>> {
  std::size_t operator()(const qh::Strong<Tag, Rep>& id) const noexcept { return std::hash<Rep>{}(id.value()); }
};
