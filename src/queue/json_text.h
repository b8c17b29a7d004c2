// queue/json_text.h - JSON text to values and back, stricter and more exact than the library's own.
//
// Stricter: an object that names a member twice is refused, since two readers of it could believe two
// different things; so is an object of more than kJsonMembersMax members. More exact: fractions are read
// to the nearest binary64, and written in the shortest form that reads back the same, without exponents
// where people do not expect them.
//
// Errors   kInvalid: no JSON, with the byte where it ends to be. kTooLarge: nested deeper than `limit`.
//          kExists: a member given twice, `subject` is its path. All other text of RFC 8259 is accepted.
// Threads  pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace boost::json {
class value;
}  // namespace boost::json

namespace qh::queue {

inline constexpr unsigned kJsonDepthMax = 32;
inline constexpr std::size_t kJsonMembersMax = 64;

/// What the values do not tell of the calls in a body: of a root object, or of the objects of a root array.
struct JsonNotes {
  struct Note {
    std::size_t element = 0;  ///< of a root array; 0 in a root object
    std::string text;
  };
  std::vector<Note> ids;    ///< the numbers and strings that they have under "id", as written
  std::vector<Note> twice;  ///< paths of members that they name twice: the first of each, and "id"

  /// The first of an element; nullptr: none.
  static const std::string* find(const std::vector<Note>& notes, std::size_t element);
};

Result<boost::json::value> parse_json(std::string_view text, unsigned depth_max = kJsonDepthMax);
/// A member that is given twice is noted and no error: the last one is the value's.
Result<boost::json::value> parse_json(std::string_view text, JsonNotes& notes);

/// Appends the text of `value`, without white space.
void write_json(const boost::json::value& value, std::string& out);
std::string write_json(const boost::json::value& value);
/// Appends a string with its quotes.
void write_json_string(std::string_view text, std::string& out);

}  // namespace qh::queue
