// base/nearest.h - "did you mean": the known name that somebody may have meant.
//
// Threads  pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qh {

/// The known name that the fewest edits lead to (insert, drop, replace, swap of neighbours; case and the
/// kind of separator do not count). None when even that one is too far away to be a slip of the pen, or `name` is
/// known.
std::optional<std::string_view> nearest(std::string_view name, std::span<const std::string_view> known);

/// " (did you mean X?)", or nothing.
std::string nearest_hint(std::string_view name, std::span<const std::string_view> known);

/// The known names that `part` is a part of, in whole words: "port" of "web-port", "max-depth" of "queue-max-depth".
/// None when they are more than kPartsMax: then it says nothing.
std::vector<std::string_view> with_part(std::string_view part, std::span<const std::string_view> known);
inline constexpr std::size_t kPartsMax = 6;

/// As nearest_hint, and where nothing is near, those with_part: " (did you mean --web-port or --binary-port?)".
/// `prefix` is put in front of each. Nothing where `name` is known.
std::string meant_hint(std::string_view name, std::span<const std::string_view> known, std::string_view prefix = {});

}  // namespace qh
