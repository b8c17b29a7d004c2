// serve/lenient_reader.h - how another program on the way could read a request. For tests and fuzz/http_request.
//
// Request smuggling needs two readers that see two ends of one request. This one is written for nothing but to see
// another end than ours: each quirk is a leniency of some proxy or server of the past. Law: what RequestReader takes
// has one end and one body, whatever the quirks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qh::serve::test {

class LenientReader {
 public:
  enum Quirk : std::uint32_t {
    kLfEndsLines = 1,         ///< also without a CR
    kCrEndsLines = 2,         ///< also without an LF
    kUnfolds = 4,             ///< a line that begins with white space goes on with the one before
    kTrimsNames = 8,          ///< "Content-Length : 3" is a length
    kLastWins = 16,           ///< of equal names, not the first
    kLengthWins = 32,         ///< over a coding
    kAnyChunked = 64,         ///< a coding is chunked when the word is in it somewhere
    kLfEndsChunkLines = 128,  ///< and only those, also without a CR
  };
  static constexpr std::uint32_t kAllQuirks = 255;

  struct Request {
    std::string body;
    std::size_t bytes = 0;  ///< of it all
    friend bool operator==(const Request&, const Request&) = default;
  };

  /// The first request of `stream`, as a reader with these quirks sees it. Nothing: it wants more.
  static std::optional<Request> read(std::string_view stream, std::uint32_t quirks) {
    LenientReader reader(stream, quirks);
    if (!reader.read_head()) return std::nullopt;
    const bool whole = reader.is_chunked() ? reader.read_chunks() : reader.read_length();
    if (!whole) return std::nullopt;
    return Request{reader.body_, stream.size() - reader.left_.size()};
  }

 private:
  LenientReader(std::string_view stream, std::uint32_t quirks) : left_(stream), quirks_(quirks) {}

  bool has(Quirk quirk) const { return (quirks_ & quirk) != 0; }

  std::optional<std::string_view> take_line(bool lf, bool cr) {
    for (std::size_t i = 0; i < left_.size(); ++i) {
      const bool both = left_[i] == '\r' && i + 1 < left_.size() && left_[i + 1] == '\n';
      if (!both && !(lf && left_[i] == '\n') && !(cr && left_[i] == '\r')) continue;
      const auto line = left_.substr(0, i);
      left_.remove_prefix(i + (both ? 2 : 1));
      return line;
    }
    return std::nullopt;
  }

  bool read_head() {
    if (left_.starts_with("\r\n")) left_.remove_prefix(2);
    for (bool first = true;; first = false) {
      const auto line = take_line(has(kLfEndsLines), has(kCrEndsLines));
      if (!line) return false;
      if (line->empty()) return true;
      if (!first) take_field(*line);
    }
  }

  void take_field(std::string_view line) {
    if (line.front() == ' ' || line.front() == '\t') {
      if (has(kUnfolds) && !fields_.empty()) fields_.back().value += line;
      return;
    }
    const auto colon = std::min(line.find(':'), line.size());
    auto name = line.substr(0, colon);
    while (has(kTrimsNames) && !name.empty() && (name.back() == ' ' || name.back() == '\t')) name.remove_suffix(1);
    fields_.push_back({lower(name), std::string(line.substr(std::min(colon + 1, line.size())))});
  }

  static std::string lower(std::string_view text) {
    std::string small(text);
    for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return small;
  }

  /// Without white space around it, and that is more than blanks and tabs to some.
  std::optional<std::string> field(std::string_view name) const {
    std::optional<std::string> found;
    for (const auto& each : fields_) {
      if (each.name != name || (found && !has(kLastWins))) continue;
      const auto begin = each.value.find_first_not_of(" \t\v\f\r\n");
      const auto end = each.value.find_last_not_of(" \t\v\f\r\n");
      found = begin == std::string::npos ? "" : lower(std::string_view(each.value).substr(begin, end - begin + 1));
    }
    return found;
  }

  bool is_chunked() const {
    const auto coding = field("transfer-encoding");
    if (!coding || (has(kLengthWins) && field("content-length"))) return false;
    return has(kAnyChunked) ? coding->find("chunked") != std::string::npos : *coding == "chunked";
  }

  /// Digits in front, like strtoul; so far as a test's stream goes.
  static std::size_t number(std::string_view text, unsigned base) {
    std::size_t value = 0;
    for (const char c : text) {
      const char small = lower({&c, 1}).front();
      unsigned digit = 99;
      if (small >= '0' && small <= '9') digit = static_cast<unsigned>(small - '0');
      if (small >= 'a' && small <= 'f') digit = static_cast<unsigned>(small - 'a' + 10);
      if (digit >= base) break;
      value = std::min<std::size_t>(value * base + digit, 1U << 30);
    }
    return value;
  }

  bool take_data(std::size_t bytes) {
    if (left_.size() < bytes) return false;
    body_ += left_.substr(0, bytes);
    left_.remove_prefix(bytes);
    return true;
  }

  bool read_length() { return take_data(number(field("content-length").value_or("0"), 10)); }

  bool read_chunks() {
    for (;;) {
      const auto line = take_line(has(kLfEndsLines) || has(kLfEndsChunkLines), has(kCrEndsLines));
      if (!line) return false;
      const auto size = number(*line, 16);
      if (size == 0) break;
      if (!take_data(size) || left_.size() < 2) return false;
      left_.remove_prefix(left_.starts_with('\n') && has(kLfEndsLines) ? 1 : 2);
    }
    for (;;) {
      const auto line = take_line(has(kLfEndsLines), has(kCrEndsLines));
      if (!line) return false;
      if (line->empty()) return true;
    }
  }

  struct Field {
    std::string name;
    std::string value;
  };
  std::string_view left_;
  std::uint32_t quirks_;
  std::vector<Field> fields_;
  std::string body_;
};

}  // namespace qh::serve::test
