// serve/http_parser.h - Boost.Beast's HTTP parser, for those who do not want to compile it. Private to serve/.
//
// Beast says what a request means: names, values, the length of the body, the size of a chunk, the end. It is
// given whole parts only, cut by http_framing.h, and must find each of them to end where it was cut: that is two
// opinions on every boundary, and a request on which they differ is refused.
//
// Errors   a refusal has the HTTP status to answer; until the next read_head() the parser is of no use.
// Threads  one owner.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include "serve/http_request.h"

namespace qh::serve {

class HttpParser {
 public:
  virtual ~HttpParser() = default;

  /// Begins a request: all of its head, the empty line too. Views in `head` point into `text`.
  virtual std::optional<HttpRefusal> read_head(std::string_view text, RequestHead& head) = 0;
  /// A chunk's size, from the end of the chunk before; with the last one all that comes behind it.
  virtual std::optional<HttpRefusal> read_chunk_line(std::string_view text) = 0;
  /// Bytes of the body, some of those that remain.
  virtual std::optional<HttpRefusal> read_data(std::string_view bytes) = 0;

  /// Bytes that the body, or its chunk, still has.
  virtual std::size_t remaining() const = 0;
  /// The request has come to its end.
  virtual bool done() const = 0;
};

std::unique_ptr<HttpParser> make_http_parser(HttpLimits limits);

}  // namespace qh::serve
