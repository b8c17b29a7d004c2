#include "base/nearest.h"

#include <algorithm>
#include <iterator>
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
    if (candidate == name) return std::nullopt;  // it is known: something else is wrong with it
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

std::vector<std::string_view> with_part(std::string_view part, std::span<const std::string_view> known) {
  const auto words = [](std::string_view name) {
    std::string text(name.size() + 2, '-');
    std::transform(name.begin(), name.end(), text.begin() + 1, plain);
    return text;
  };
  std::vector<std::string_view> found;
  if (part.empty()) return found;
  const auto wanted = words(part);
  std::copy_if(known.begin(), known.end(), std::back_inserter(found),
               [&](std::string_view name) { return words(name).find(wanted) != std::string::npos; });
  if (found.size() > kPartsMax) found.clear();
  return found;
}

std::string meant_hint(std::string_view name, std::span<const std::string_view> known, std::string_view prefix) {
  if (std::find(known.begin(), known.end(), name) != known.end()) return {};
  std::vector<std::string_view> meant;
  if (const auto one = nearest(name, known))
    meant.push_back(*one);
  else
    meant = with_part(name, known);
  if (meant.empty()) return {};
  std::string text;
  for (std::size_t i = 0; i < meant.size(); ++i)
    text.append(i == 0 ? "" : i + 1 == meant.size() ? " or " : ", ").append(prefix).append(meant[i]);
  return " (did you mean " + text + "?)";
}

}  // namespace qh
