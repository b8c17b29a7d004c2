#include "node/key_parts.h"

#include <algorithm>

namespace qh::node {
namespace {

/// How many characters the string has that `text` begins with, its quotes included. One that does not end goes to the
/// end of its line or, in triple quotes, of the text: the parser goes no further either.
std::size_t string_length(std::string_view text) {
  const char quote = text.front();
  const bool escapes = quote == '"';
  const bool triple = text.size() >= 3 && text[1] == quote && text[2] == quote;
  for (std::size_t at = triple ? 3 : 1; at < text.size(); ++at) {
    if (text[at] == '\\' && escapes) {
      ++at;
    } else if (text[at] == '\n' && !triple) {
      return at;
    } else if (text[at] == quote) {
      if (!triple) return at + 1;
      // Up to two quotes may stand in front of the three that end it.
      const auto run = std::min(text.find_first_not_of(quote, at), text.size()) - at;
      if (run >= 3) return at + std::min<std::size_t>(run, 5);
      at += run - 1;
    }
  }
  return text.size();
}

}  // namespace

std::optional<std::size_t> line_of_deep_key(std::string_view toml) {
  std::size_t line = 1, dots = 0;
  for (std::size_t at = 0; at < toml.size();) {
    const char c = toml[at];
    std::size_t length = 1;
    if (c == '"' || c == '\'') {
      length = string_length(toml.substr(at));
    } else if (c == '#') {
      length = std::min(toml.find('\n', at), toml.size()) - at;
    } else if (c == '.') {
      if (++dots >= kKeyPartsMax) return line;
    } else if (c == '=' || c == '\n' || c == ',' || c == '{' || c == '[') {
      dots = 0;  // a number has a dot at the most
    }
    const auto passed = toml.substr(at, length);
    line += static_cast<std::size_t>(std::count(passed.begin(), passed.end(), '\n'));
    at += length;
  }
  return std::nullopt;
}

}  // namespace qh::node
