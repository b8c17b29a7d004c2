#include "base/nearest.h"

#include <algorithm>
#include <vector>

namespace qh {
namespace {

char plain(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
  return c == '_' || c == '.' ? '-' : c;
}

/// Damerau's distance, restricted to one swap a place (optimal string alignment).
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = plain(a[i - 1]) == plain(b[j - 1]) ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + replaced});
      if (i > 1 && j > 1 && plain(a[i - 1]) == plain(b[j - 2]) && plain(a[i - 2]) == plain(b[j - 1])) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::optional<std::string_view> nearest(std::string_view name, std::span<const std::string_view> known) {
  constexpr std::size_t kNameBytesMax = 64;  // the work grows with the product of the lengths
  if (name.size() > kNameBytesMax) return std::nullopt;
  std::optional<std::string_view> best;
  std::size_t fewest = 0;
  for (const auto candidate : known) {
    const auto count = edits(name, candidate);
    if (count > std::max<std::size_t>(1, std::max(name.size(), candidate.size()) / 3)) continue;
    if (!best || count < fewest) {
      best = candidate;
      fewest = count;
    }
  }
  return best;
}

std::string nearest_hint(std::string_view name, std::span<const std::string_view> known) {
  const auto meant = nearest(name, known);
  return meant ? " (did you mean " + std::string(*meant) + "?)" : std::string();
}

}  // namespace qh
