#include "serve/http_request.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "serve/http_framing.h"
#include "serve/http_parser.h"

namespace qh::serve {
namespace {

constexpr std::size_t kFirstBytes = 4096;

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

RequestReader::RequestReader(HttpLimits limits)
    : limits_(limits), parser_(make_http_parser(limits)), buffer_(kFirstBytes) {}
RequestReader::~RequestReader() = default;

std::span<char> RequestReader::room() {
  if (begin_ == end_ && state_ == State::kHead) begin_ = at_ = end_ = searched_ = 0;
  const bool may_grow = state_ != State::kDone || buffer_.size() < kReadAheadBytes;
  if (end_ == buffer_.size() && may_grow && state_ != State::kRefused) {
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
  // The largest request with what is read ahead; twice that would be had for nothing.
  const auto whole = limits_.header_bytes + limits_.body_bytes + 2 * kReadAheadBytes;
  std::vector<char> larger(buffer_.size() < whole ? std::min(2 * buffer_.size(), whole) : 2 * buffer_.size());
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
  body_bytes_ = 0;
  constexpr std::size_t kKeptBytes = 64U << 10;
  const auto held = end_ - begin_;  // of what comes behind it
  if (held >= kKeptBytes || buffer_.size() <= kKeptBytes) return;
  std::vector<char> kept(kKeptBytes);
  std::copy_n(buffer_.data() + begin_, held, kept.data());
  buffer_.swap(kept);
  begin_ = searched_ = at_ = 0;
  end_ = held;
}

RequestReader::Progress RequestReader::refuse(HttpRefusal refusal) {
  refusal_ = std::move(refusal);
  head_ = {};
  state_ = State::kRefused;
  return Progress::kRefused;
}

RequestReader::Progress RequestReader::advance() {
  switch (state_) {
    case State::kHead:
      return read_head();
    case State::kBody:
      return read_body();
    case State::kDone:
      return Progress::kRequest;
    case State::kRefused:
      break;
  }
  return Progress::kRefused;
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
  if (auto refusal = parse_head(text.substr(0, found + 4))) return refuse(std::move(*refusal));
  at_ += found + 4;
  body_begin_ = at_;
  state_ = State::kBody;
  return Progress::kHead;
}

std::optional<HttpRefusal> RequestReader::parse_head(std::string_view text) {
  const auto lines = text.substr(0, text.size() - 2);
  if (auto refusal = judge_lines(lines)) return refusal;
  if (auto refusal = judge_length_digits(lines, limits_)) return refusal;
  if (auto refusal = parser_->read_head(text, head_)) return refusal;
  return judge_head(head_);
}

RequestReader::Progress RequestReader::read_body() {
  while (!parser_->done()) {
    if (parser_->remaining() != 0) {
      if (at_ == end_) return needs_more_body();
      if (auto refusal = read_data()) return refuse(std::move(*refusal));
      continue;
    }
    auto line = cut_chunk_line(unread(), body_bytes_ != 0, limits_);
    if (line.refusal) return refuse(std::move(*line.refusal));
    if (line.bytes == 0) return needs_more_body();
    if (auto refusal = parser_->read_chunk_line(unread().substr(0, line.bytes))) return refuse(std::move(*refusal));
    at_ += line.bytes;
  }
  state_ = State::kDone;
  return Progress::kRequest;
}

/// Chunks are moved together at body_begin_, over the lines that stood between them.
std::optional<HttpRefusal> RequestReader::read_data() {
  const auto part = unread().substr(0, parser_->remaining());
  if (auto refusal = parser_->read_data(part)) return refusal;
  char* const body_end = buffer_.data() + body_begin_ + body_bytes_;
  if (body_end != part.data()) std::memmove(body_end, part.data(), part.size());
  at_ += part.size();
  body_bytes_ += part.size();
  return std::nullopt;
}

/// Moves what is unread down behind the body, so that many small chunks take no more room than one large one.
RequestReader::Progress RequestReader::needs_more_body() {
  const auto body_end = body_begin_ + body_bytes_;
  if (body_end == at_) return Progress::kNeedsMore;
  const auto left = end_ - at_;
  std::memmove(buffer_.data() + body_end, buffer_.data() + at_, left);
  at_ = body_end;
  end_ = at_ + left;
  return Progress::kNeedsMore;
}

}  // namespace qh::serve
