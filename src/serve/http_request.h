// serve/http_request.h - reads HTTP/1.1 requests out of a byte stream, strictly.
//
// Boost.Beast parses (http_parser.h). In front of it and behind it stand checks that refuse what two readers could
// understand differently (http_framing.h; RFC 9112 sections 2.2, 5 and 6.3): Content-Length beside Transfer-Encoding
// or given twice, line folding, a CR or LF that does not end a line, codings other than chunked. The reader keeps the
// bytes, cuts them into parts, and stops where the two do not agree on a part's end.
//
//   RequestReader reader(limits);
//   reader.room(); ... read into it ...; reader.filled(n);
//   switch (reader.advance()) ...
//
// Errors   a refusal has the HTTP status to answer; the stream is of no use afterwards.
// Limits   header and body bytes; a chunk's line is at most kChunkLineBytesMax.
// Threads  one owner. Views point into the reader until next().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qh::serve {

struct HttpLimits {
  std::size_t header_bytes = 16U << 10;
  std::size_t body_bytes = 8U << 20;
};
inline constexpr std::size_t kChunkLineBytesMax = 256;
inline constexpr std::size_t kHeaderFieldsMax = 100;
/// Up to here the buffer grows for what comes behind a whole request.
inline constexpr std::size_t kReadAheadBytes = 64U << 10;

struct RequestHead {
  std::string_view method;
  std::string_view target;
  bool http_1_1 = false;
  bool keep_alive = false;
  bool expects_continue = false;
  bool has_body = false;  ///< a length above 0, or chunked
  bool chunked = false;
  std::vector<std::pair<std::string_view, std::string_view>> fields;

  /// The value of the first field of that name, in whatever case.
  std::optional<std::string_view> field(std::string_view name) const;
  std::size_t count(std::string_view name) const;
};

struct HttpRefusal {
  int status = 400;
  std::string why;
  std::uint64_t size = 0;  ///< of a 413: bytes that were announced, with those that have come; 0: not known
};

class HttpParser;

class RequestReader {
 public:
  enum class Progress : std::uint8_t {
    kNeedsMore,
    kHead,     ///< head() is there; once a request
    kRequest,  ///< body() is there too
    kRefused,  ///< refusal() says why, now and for ever
  };

  explicit RequestReader(HttpLimits limits);
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  /// Where the next bytes go; not empty unless a whole request waits and kReadAheadBytes or more are held.
  std::span<char> room();
  void filled(std::size_t bytes);

  Progress advance();
  const RequestHead& head() const { return head_; }
  std::string_view body() const;
  const HttpRefusal& refusal() const { return refusal_; }
  /// Forgets the request that was complete.
  void next();

  /// Bytes of a request have come, but not all.
  bool in_request() const { return begin_ != end_; }
  /// All that is held, from the head of the request at hand on.
  std::string_view held() const { return std::string_view(buffer_.data() + begin_, end_ - begin_); }
  bool in_body() const { return state_ == State::kBody || state_ == State::kDone; }
  /// A request is there, to its last byte.
  bool is_whole() const { return state_ == State::kDone; }
  std::size_t capacity() const { return buffer_.size(); }

 private:
  enum class State : std::uint8_t { kHead, kBody, kDone, kRefused };

  std::string_view unread() const { return std::string_view(buffer_.data() + at_, end_ - at_); }
  void grow();
  Progress refuse(int status, std::string why) { return refuse(HttpRefusal{status, std::move(why)}); }
  Progress refuse(HttpRefusal refusal);
  Progress read_head();
  std::optional<HttpRefusal> parse_head(std::string_view text);
  Progress read_body();
  std::optional<HttpRefusal> read_data();
  Progress needs_more_body();

  HttpLimits limits_;
  std::unique_ptr<HttpParser> parser_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;       ///< of the request at hand
  std::size_t at_ = 0;          ///< read up to here
  std::size_t end_ = 0;         ///< of what was filled in
  std::size_t searched_ = 0;    ///< no end of the head before here
  std::size_t body_begin_ = 0;  ///< chunks are moved together from here on
  std::size_t body_bytes_ = 0;
  State state_ = State::kHead;
  RequestHead head_;
  HttpRefusal refusal_;
};

}  // namespace qh::serve
