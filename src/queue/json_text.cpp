#include "queue/json_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_stack.hpp>

#include "base/invariant.h"

namespace qh::queue {
namespace {

namespace json = boost::json;
using Code = json::error_code;

constexpr std::string_view kIdMember = "id";

/// What the parser calls for each thing that it reads.
class Builder {
 public:
  static constexpr std::size_t max_object_size = kJsonMembersMax;
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  Builder(std::string_view text, JsonNotes* notes) : text_(text), notes_(notes) { stack_.reset(); }

  json::value release() { return stack_.release(); }
  const std::optional<std::string>& duplicate() const { return duplicate_; }
  /// An id has escapes, so what it was written as has to be looked for.
  bool has_escaped_id() const { return has_escaped_id_; }

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }

  bool on_object_begin(Code&) {
    open_.push_back({.object = true, .index = 0, .keys = {}});
    return true;
  }
  bool on_object_end(std::size_t n, Code&) {
    open_.pop_back();
    stack_.push_object(n);
    return counted();
  }
  bool on_array_begin(Code&) {
    open_.push_back({.object = false, .index = 0, .keys = {}});
    return true;
  }
  bool on_array_end(std::size_t n, Code&) {
    open_.pop_back();
    stack_.push_array(n);
    return counted();
  }

  bool on_key_part(std::string_view part, std::size_t, Code&) {
    key_ += part;
    stack_.push_chars(part);
    return true;
  }
  bool on_key(std::string_view part, std::size_t, Code& error) {
    key_ += part;
    stack_.push_key(part);
    const auto& known = open_.back().keys;
    const bool twice = std::find(known.begin(), known.end(), key_) != known.end();
    open_.back().keys.push_back(std::exchange(key_, {}));
    if (!twice || note_twice()) return true;
    duplicate_ = path(0);
    error = json::error::extra_data;  // any error at all: duplicate_ says which
    return false;
  }

  bool on_string_part(std::string_view part, std::size_t, Code&) {
    in_parts_ = true;
    stack_.push_chars(part);
    return true;
  }
  bool on_string(std::string_view part, std::size_t, Code&) {
    if (is_id()) note_string_id(part);
    in_parts_ = false;
    stack_.push_string(part);
    return counted();
  }

  bool on_number_part(std::string_view part, Code&) {
    number_ += part;
    return true;
  }
  bool on_int64(std::int64_t value, std::string_view part, Code&) {
    (void)number_text(part);
    stack_.push_int64(value);
    number_.clear();
    return counted();
  }
  bool on_uint64(std::uint64_t value, std::string_view part, Code&) {
    (void)number_text(part);
    stack_.push_uint64(value);
    number_.clear();
    return counted();
  }
  bool on_double(double value, std::string_view part, Code&) {
    const auto text = number_text(part);
    // The library's own value can be a unit in the last place off.
    std::from_chars(text.data(), text.data() + text.size(), value);
    stack_.push_double(value);
    number_.clear();
    return counted();
  }
  bool on_bool(bool value, Code&) {
    stack_.push_bool(value);
    return counted();
  }
  bool on_null(Code&) {
    stack_.push_null();
    return counted();
  }
  bool on_comment_part(std::string_view, Code&) { return true; }
  bool on_comment(std::string_view, Code&) { return true; }

 private:
  struct Open {
    bool object;
    std::size_t index;
    std::vector<std::string> keys;
  };

  bool counted() {
    if (!open_.empty()) ++open_.back().index;
    return true;
  }

  std::string_view number_text(std::string_view part) {
    std::string_view text = part;
    if (!number_.empty()) text = number_ += part;
    if (is_id()) notes_->ids.push_back({element(), std::string(text)});
    return text;
  }

  // -- Notes: of a root object, or of the objects of a root array ----------------------------------------------

  bool in_batch() const { return !open_.empty() && !open_.front().object; }
  std::size_t element() const { return in_batch() ? open_.front().index : 0; }
  bool is_id() const {
    return notes_ != nullptr && !open_.empty() && open_.back().object && open_.back().keys.back() == kIdMember &&
           open_.size() == (in_batch() ? 2U : 1U);
  }

  /// Without escapes it is a part of the text as it is.
  void note_string_id(std::string_view part) {
    const bool in_place =
        std::less_equal<>()(text_.data(), part.data()) && std::less<>()(part.data(), text_.data() + text_.size());
    if (in_parts_ || !in_place) {
      has_escaped_id_ = true;
    } else {
      notes_->ids.push_back({element(), '"' + std::string(part) + '"'});
    }
  }

  /// False: there are no notes to be taken.
  bool note_twice() {
    if (notes_ == nullptr) return false;
    auto where = path(in_batch() ? 1 : 0);
    const bool first = JsonNotes::find(notes_->twice, element()) == nullptr;
    if (first || where == kIdMember) notes_->twice.push_back({element(), std::move(where)});
    return true;
  }

  /// Of the member whose key was read last, without the outermost `skip`.
  std::string path(std::size_t skip) const {
    std::string text;
    for (const auto& open : std::span(open_).subspan(skip)) {
      if (open.object) {
        if (open.keys.empty()) continue;
        if (!text.empty()) text += '.';
        text += open.keys.back();
      } else {
        text += '[' + std::to_string(open.index) + ']';
      }
    }
    return text;
  }

  json::value_stack stack_;
  std::vector<Open> open_;
  std::string key_, number_;
  std::string_view text_;
  JsonNotes* notes_;
  bool in_parts_ = false, has_escaped_id_ = false;
  std::optional<std::string> duplicate_;
};

/// Behind the string that begins at `at`, in JSON that was parsed.
std::size_t behind_string(std::string_view text, std::size_t at) {
  for (++at; text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

/// Goes through JSON that was parsed, and notes the string ids as written. A key with escapes is not looked for: that
/// id is given back in another spelling.
void note_ids_as_written(std::string_view text, std::vector<JsonNotes::Note>& ids) {
  const auto root = text.find_first_not_of(" \t\r\n");
  const std::size_t of_calls = text[root] == '[' ? 2 : 1;
  std::size_t depth = 0, element = 0;
  bool is_key = true;
  std::string_view key;
  for (auto at = root; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') {
      const auto end = behind_string(text, at);
      const auto string = text.substr(at, end - at);
      if (depth == of_calls && is_key) key = string;
      if (depth == of_calls && !is_key && key == R"("id")") ids.push_back({element, std::string(string)});
      at = end - 1;
    } else if (c == '{' || c == '[') {
      ++depth;
      is_key = true;
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (c == ':') {
      is_key = false;
    } else if (c == ',') {
      is_key = true;
      if (depth == 1 && of_calls == 2) ++element;
    }
  }
}

template <class Int>
void write_number(Int number, std::string& out) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  out.append(text.data(), end);
}

void write_double(double number, std::string& out) {
  if (!std::isfinite(number)) {
    out += "null";  // JSON has no other word for it
    return;
  }
  if (number == 0 && std::signbit(number)) {
    out += "-0.0";  // -0 would be read as an integer, which has no such thing
    return;
  }
  // Plain digits in the range that people read so; elsewhere the shorter of both forms.
  const double size = std::fabs(number);
  if (size != 0 && (size < 1e-6 || size >= 1e17)) return write_number(number, out);
  std::array<char, 64> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed).ptr;
  out.append(text.data(), end);
}

}  // namespace

const std::string* JsonNotes::find(const std::vector<Note>& notes, std::size_t element) {
  const auto found = std::ranges::lower_bound(notes, element, {}, &Note::element);
  return found != notes.end() && found->element == element ? &found->text : nullptr;
}

namespace {

Result<json::value> parse(std::string_view text, unsigned depth_max, JsonNotes* notes) {
  json::parse_options options;
  options.max_depth = depth_max;
  json::basic_parser<Builder> parser(options, text, notes);
  Code error;
  const auto used = parser.write_some(false, text.data(), text.size(), error);
  if (parser.handler().duplicate()) {
    const auto& member = *parser.handler().duplicate();
    return fail(Error(Errc::kExists, "the member is given twice").about(member));
  }
  if (error == json::error::too_deep) {
    Error deep(Errc::kTooLarge, "nested deeper than " + std::to_string(depth_max));
    deep.limit = depth_max;
    return fail(std::move(deep));
  }
  if (!error && used != text.size()) error = json::error::extra_data;
  if (error) return fail(Errc::kInvalid, "no JSON: " + error.message() + " at byte " + std::to_string(used + 1));
  if (parser.handler().has_escaped_id()) {
    std::erase_if(notes->ids, [](const JsonNotes::Note& note) { return note.text.starts_with('"'); });
    const auto numbers = notes->ids.size();
    note_ids_as_written(text, notes->ids);
    const auto strings = notes->ids.begin() + static_cast<std::ptrdiff_t>(numbers);
    std::ranges::inplace_merge(notes->ids, strings, {}, &JsonNotes::Note::element);
  }
  return parser.handler().release();
}

}  // namespace

Result<json::value> parse_json(std::string_view text, unsigned depth_max) { return parse(text, depth_max, nullptr); }
Result<json::value> parse_json(std::string_view text, JsonNotes& notes) { return parse(text, kJsonDepthMax, &notes); }

void write_json_string(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  std::size_t plain_from = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, plain_from, i - plain_from);
    plain_from = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += "\\u00";
        out += kHex[c >> 4];
        out += kHex[c & 15];
    }
  }
  out.append(text, plain_from);
  out += '"';
}

void write_json(const json::value& value, std::string& out) {
  switch (value.kind()) {
    case json::kind::null:
      out += "null";
      return;
    case json::kind::bool_:
      out += value.get_bool() ? "true" : "false";
      return;
    case json::kind::int64:
      return write_number(value.get_int64(), out);
    case json::kind::uint64:
      return write_number(value.get_uint64(), out);
    case json::kind::double_:
      return write_double(value.get_double(), out);
    case json::kind::string:
      return write_json_string(value.get_string(), out);
    case json::kind::array: {
      char before = '[';
      for (const auto& element : value.get_array()) {
        out += before;
        write_json(element, out);
        before = ',';
      }
      out += value.get_array().empty() ? "[]" : "]";
      return;
    }
    case json::kind::object: {
      char before = '{';
      for (const auto& member : value.get_object()) {
        out += before;
        write_json_string(member.key(), out);
        out += ':';
        write_json(member.value(), out);
        before = ',';
      }
      out += value.get_object().empty() ? "{}" : "}";
      return;
    }
  }
}

std::string write_json(const json::value& value) {
  std::string out;
  write_json(value, out);
  return out;
}

}  // namespace qh::queue
