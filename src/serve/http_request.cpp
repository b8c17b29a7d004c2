#include "serve/http_request.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace qh::serve {
namespace {

constexpr std::size_t kFirstBytes = 4096;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

/// RFC 9110 section 5.6.2.
bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  const auto good = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kMarks.find(c) != kMarks.npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), good);
}

/// No control characters but the tab; what is above 0x7f is somebody's text.
bool is_field_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Digits and nothing else; too large a number is the largest one.
std::optional<std::size_t> digits(std::string_view text, unsigned base) {
  if (text.empty()) return std::nullopt;
  std::size_t value = 0;
  for (const char c : text) {
    const char small = lower(c);
    unsigned digit = 99;
    if (small >= '0' && small <= '9') digit = static_cast<unsigned>(small - '0');
    if (small >= 'a' && small <= 'f') digit = static_cast<unsigned>(small - 'a' + 10);
    if (digit >= base) return std::nullopt;
    value = value > SIZE_MAX / 32 ? SIZE_MAX / 2 : value * base + digit;
  }
  return value;
}

bool lists(std::string_view value, std::string_view word) {
  while (!value.empty()) {
    const auto comma = std::min(value.find(','), value.size());
    if (same_name(trimmed(value.substr(0, comma)), word)) return true;
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return false;
}

}  // namespace

std::optional<std::string_view> RequestHead::field(std::string_view name) const {
  for (const auto& [known, value] : fields) {
    if (same_name(known, name)) return value;
  }
  return std::nullopt;
}

std::size_t RequestHead::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::count_if(fields.begin(), fields.end(), [&](const auto& field) { return same_name(field.first, name); }));
}

RequestReader::RequestReader(HttpLimits limits) : limits_(limits), buffer_(kFirstBytes) {}

std::span<char> RequestReader::room() {
  if (begin_ == end_ && state_ == State::kHead) begin_ = at_ = end_ = searched_ = 0;
  if (end_ == buffer_.size() && state_ != State::kDone && state_ != State::kRefused) {
    // Views of the head point into the buffer, so it is moved only while there are none.
    if (begin_ > 0 && state_ == State::kHead) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      at_ -= begin_;
      end_ -= begin_;
      searched_ -= std::min(begin_, searched_);
      begin_ = 0;
    } else {
      grow();
    }
  }
  return std::span(buffer_).subspan(end_);
}

void RequestReader::grow() {
  std::vector<char> larger(buffer_.size() * 2);
  std::memcpy(larger.data(), buffer_.data(), end_);
  const auto move = [&](std::string_view& view) {
    view = {larger.data() + (view.data() - buffer_.data()), view.size()};
  };
  if (in_body()) {
    move(head_.method);
    move(head_.target);
    for (auto& [name, value] : head_.fields) {
      move(name);
      move(value);
    }
  }
  buffer_.swap(larger);
}

void RequestReader::filled(std::size_t bytes) { end_ += bytes; }

std::string_view RequestReader::body() const { return {buffer_.data() + body_begin_, body_bytes_}; }

void RequestReader::next() {
  begin_ = searched_ = at_;
  state_ = State::kHead;
  head_ = {};
  body_bytes_ = pending_ = trailer_bytes_ = 0;
  constexpr std::size_t kKeptBytes = 64U << 10;
  if (begin_ == end_ && buffer_.size() > kKeptBytes) {
    buffer_.resize(kKeptBytes);
    buffer_.shrink_to_fit();
    begin_ = at_ = end_ = searched_ = 0;
  }
}

RequestReader::Progress RequestReader::refuse(int status, std::string why) {
  refusal_ = {status, std::move(why)};
  state_ = State::kRefused;
  return Progress::kRefused;
}

RequestReader::Progress RequestReader::advance() {
  switch (state_) {
    case State::kHead:
      return read_head();
    case State::kBody:
      if (end_ - at_ < pending_) return Progress::kNeedsMore;
      at_ += pending_;
      body_bytes_ = pending_;
      state_ = State::kDone;
      return Progress::kRequest;
    case State::kDone:
      return Progress::kRequest;
    case State::kRefused:
      return Progress::kRefused;
    default:
      return read_chunks();
  }
}

RequestReader::Progress RequestReader::read_head() {
  // RFC 9112 section 2.2: an empty line in front of a request is passed over; one, since a peer could send them
  // for ever.
  if (at_ == begin_ && unread().starts_with("\r\n")) at_ += 2;
  const auto text = unread();
  const auto from = std::max(searched_, at_) - at_;
  const auto found = text.find("\r\n\r\n", from > 3 ? from - 3 : 0);
  if (found == text.npos) {
    searched_ = end_;
    if (text.size() >= limits_.header_bytes)
      return refuse(431, "the header is over " + std::to_string(limits_.header_bytes) + " bytes");
    // A line that ends in LF alone would keep a lenient client waiting until its time is out.
    const auto lf = text.find('\n');
    if (lf != text.npos && (lf == 0 || text[lf - 1] != '\r')) return refuse(400, "a line that does not end in CR LF");
    return Progress::kNeedsMore;
  }
  if (found + 4 > limits_.header_bytes)
    return refuse(431, "the header is over " + std::to_string(limits_.header_bytes) + " bytes");
  if (!parse_head(text.substr(0, found + 2))) return Progress::kRefused;
  at_ += found + 4;
  body_begin_ = at_;
  return Progress::kHead;
}

bool RequestReader::parse_head(std::string_view text) {
  bool first = true;
  while (!text.empty()) {
    const auto end = text.find("\r\n");
    const auto line = text.substr(0, end);
    text.remove_prefix(end + 2);
    if (line.find_first_of("\r\n") != line.npos) return refuse(400, "a CR or LF inside a line"), false;
    if (first ? !parse_request_line(line) : !parse_field(line)) return false;
    first = false;
  }
  return judge_fields() && judge_framing();
}

bool RequestReader::parse_request_line(std::string_view line) {
  const auto a = line.find(' ');
  const auto b = line.rfind(' ');
  if (a == line.npos || a == b) return refuse(400, "no request line of HTTP/1.1"), false;
  head_.method = line.substr(0, a);
  head_.target = line.substr(a + 1, b - a - 1);
  const auto version = line.substr(b + 1);
  const bool printable =
      std::all_of(head_.target.begin(), head_.target.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!is_token(head_.method) || head_.target.empty() || !printable)
    return refuse(400, "no request line of HTTP/1.1"), false;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    const bool other = version.starts_with("HTTP/");
    return refuse(other ? 505 : 400,
                  other ? "only HTTP/1.1 and HTTP/1.0 are spoken here" : "no request line of HTTP/1.1"),
           false;
  }
  head_.http_1_1 = version == "HTTP/1.1";
  return true;
}

bool RequestReader::parse_field(std::string_view line) {
  if (line.starts_with(' ') || line.starts_with('\t')) return refuse(400, "a folded header line"), false;
  const auto colon = line.find(':');
  if (colon == line.npos || !is_token(line.substr(0, colon)))
    return refuse(400, "a header line without a clean name"), false;
  const auto value = trimmed(line.substr(colon + 1));
  if (!is_field_value(value)) return refuse(400, "a control character in a header"), false;
  if (head_.fields.size() == kHeaderFieldsMax) return refuse(431, "over 100 header fields"), false;
  head_.fields.emplace_back(line.substr(0, colon), value);
  return true;
}

bool RequestReader::judge_fields() {
  if (head_.count("Host") > 1 || (head_.http_1_1 && head_.count("Host") == 0))
    return refuse(400, "exactly one Host is needed"), false;
  // Two of these could be understood differently by whoever stands before us and by us.
  for (const char* once : {"Authorization", "Origin", "Expect"}) {
    if (head_.count(once) > 1) return refuse(400, std::string(once) + " is given twice"), false;
  }
  head_.keep_alive = head_.http_1_1;
  for (const auto& [name, value] : head_.fields) {
    if (!same_name(name, "Connection")) continue;
    if (lists(value, "close")) {
      head_.keep_alive = false;
      break;
    }
    if (lists(value, "keep-alive")) head_.keep_alive = true;
  }
  const auto expect = head_.field("Expect");
  if (expect && head_.http_1_1) {
    if (!same_name(*expect, "100-continue")) return refuse(417, "only 100-continue can be expected"), false;
    head_.expects_continue = true;
  }
  return true;
}

bool RequestReader::judge_framing() {
  const auto lengths = head_.count("Content-Length");
  const auto codings = head_.count("Transfer-Encoding");
  if (lengths != 0 && codings != 0) return refuse(400, "both Content-Length and Transfer-Encoding"), false;
  if (lengths > 1 || codings > 1) return refuse(400, "the length of the body is given twice"), false;
  if (codings == 1) {
    if (!head_.http_1_1) return refuse(400, "Transfer-Encoding in HTTP/1.0"), false;
    if (!same_name(*head_.field("Transfer-Encoding"), "chunked"))
      return refuse(501, "the only coding spoken here is chunked"), false;
    head_.has_body = true;
    state_ = State::kChunkLine;
    return true;
  }
  state_ = State::kBody;
  pending_ = 0;
  if (lengths == 1) {
    const auto length = digits(*head_.field("Content-Length"), 10);
    if (!length) return refuse(400, "Content-Length is no number"), false;
    if (*length > limits_.body_bytes)
      return refuse(413, "the body is over " + std::to_string(limits_.body_bytes) + " bytes"), false;
    pending_ = *length;
    head_.has_body = pending_ != 0;
  }
  return true;
}

// Decoded chunks are moved together at body_begin_, over the lines that stood between them.
RequestReader::Progress RequestReader::read_chunks() {
  for (;;) {
    if (state_ == State::kChunkData) {
      const auto part = std::min(pending_, end_ - at_);
      std::memmove(buffer_.data() + body_begin_ + body_bytes_, buffer_.data() + at_, part);
      at_ += part;
      body_bytes_ += part;
      pending_ -= part;
      if (pending_ != 0) return needs_more_chunk();
      state_ = State::kChunkEnd;
    }
    if (state_ == State::kChunkEnd) {
      if (unread().size() < 2) return needs_more_chunk();
      if (!unread().starts_with("\r\n")) return refuse(400, "a chunk that does not end where it said");
      at_ += 2;
      state_ = State::kChunkLine;
    }
    const auto text = unread();
    const auto end = text.find("\r\n");
    const auto longest = end == text.npos ? text.size() - text.ends_with('\r') : end;
    if (longest > kChunkLineBytesMax) return refuse(400, "a chunk line over 256 bytes");
    if (end == text.npos) return needs_more_chunk();
    const auto line = text.substr(0, end);
    if (!is_field_value(line)) return refuse(400, "a control character in a chunk line");
    at_ += end + 2;
    if (state_ == State::kTrailer) {
      // Trailers are read and forgotten; nothing here depends on one.
      trailer_bytes_ += end + 2;
      if (trailer_bytes_ > limits_.header_bytes) return refuse(431, "trailers over the header's limit");
      if (!line.empty()) continue;
      state_ = State::kDone;
      return Progress::kRequest;
    }
    const auto progress = read_chunk_line(line);
    if (progress == Progress::kRefused) return progress;
  }
}

/// Moves what is unread down behind the body, so that many small chunks take no more room than one large one.
RequestReader::Progress RequestReader::needs_more_chunk() {
  const auto left = end_ - at_;
  const auto body_end = body_begin_ + body_bytes_;
  std::memmove(buffer_.data() + body_end, buffer_.data() + at_, left);
  at_ = body_end;
  end_ = at_ + left;
  return Progress::kNeedsMore;
}

RequestReader::Progress RequestReader::read_chunk_line(std::string_view line) {
  // An extension may follow; its bytes count against the line's limit and mean nothing here.
  const auto size_text = line.substr(0, line.find(';'));
  const auto size = digits(size_text, 16);
  if (!size) return refuse(400, "a chunk without a size");
  if (*size > limits_.body_bytes - body_bytes_)
    return refuse(413, "the body is over " + std::to_string(limits_.body_bytes) + " bytes");
  pending_ = *size;
  state_ = pending_ == 0 ? State::kTrailer : State::kChunkData;
  return Progress::kNeedsMore;
}

}  // namespace qh::serve
