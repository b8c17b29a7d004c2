// base/nearest.h - "did you mean": the known name that somebody may have meant.
//
// Threads  pure functions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace qh {

/// The known name that the fewest edits lead to (insert, drop, replace, swap of neighbours; case and the
/// kind of separator do not count). None when even that one is too far away to be a slip of the pen.
std::optional<std::string_view> nearest(std::string_view name, std::span<const std::string_view> known);

/// " (did you mean X?)", or nothing.
std::string nearest_hint(std::string_view name, std::span<const std::string_view> known);

}  // namespace qh
