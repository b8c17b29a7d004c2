#include <array>
#include <charconv>

#include "node/setting.h"

namespace qh::node {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t size;
};
constexpr std::array kTimes{Unit{"d", 86'400'000'000'000},
                            Unit{"h", 3'600'000'000'000},
                            Unit{"min", 60'000'000'000},
                            Unit{"s", 1'000'000'000},
                            Unit{"ms", 1'000'000},
                            Unit{"us", 1'000},
                            Unit{"ns", 1}};
constexpr std::array kSizes{Unit{"TiB", std::int64_t{1} << 40}, Unit{"GiB", std::int64_t{1} << 30},
                            Unit{"MiB", std::int64_t{1} << 20}, Unit{"KiB", std::int64_t{1} << 10}, Unit{"B", 1}};

/// Added to any clock of this century it stays one that a clock can show.
constexpr std::int64_t kTimeMax = 36'500 * std::int64_t{86'400'000'000'000};

template <std::size_t N>
std::string text_in(std::int64_t value, const std::array<Unit, N>& units) {
  for (const auto& unit : units) {
    if (value != 0 && value % unit.size == 0) return std::to_string(value / unit.size) + std::string(unit.name);
  }
  return "0";
}

/// An integer and a unit, `most` at most; `plain` is the size of a number without one, 0 if it needs one.
template <std::size_t N>
Result<std::int64_t> parse_in(std::string_view text, const std::array<Unit, N>& units, std::int64_t plain,
                              std::int64_t most, std::string_view expected) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  auto rest = text.substr(static_cast<std::size_t>(end - text.data()));
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  if (error == std::errc() && number >= 0) {
    if (rest.empty() && (plain != 0 || number == 0)) return number * plain;
    for (const auto& unit : units) {
      if (unit.name == rest && number <= most / unit.size) return number * unit.size;
    }
  }
  return fail(Errc::kInvalid, "expected " + std::string(expected) + ", got '" + std::string(text) + "'");
}

}  // namespace

std::string duration_text(Duration value) { return value == Duration(0) ? "0s" : text_in(value.count(), kTimes); }

std::string bytes_text(std::uint64_t value) {
  auto text = text_in(static_cast<std::int64_t>(value), kSizes);
  if (text.ends_with("B") && !text.ends_with("iB")) text.pop_back();
  return text;
}

Result<Duration> parse_duration(std::string_view text) {
  const auto value =
      parse_in(text, kTimes, 0, kTimeMax, "a time of at most 36500d with its unit, as 500ms, 30s, 10min, 1h or 30d");
  if (!value) return fail(value.error());
  return Duration(*value);
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
  const auto value = parse_in(text, kSizes, 1, INT64_MAX, "a size in bytes, as 65536, 256KiB, 64MiB or 1GiB");
  if (!value) return fail(value.error());
  return static_cast<std::uint64_t>(*value);
}

}  // namespace qh::node
