// serve/http_framing.h - what a request must be beyond what Beast takes. Private to serve/.
//
// Beast is as lenient as RFC 9112 allows a recipient to be: it unfolds lines, takes equal lengths given twice, takes
// "gzip, chunked", reads a quoted string across the end of a chunk's line. Whoever stands before us may read such a
// request differently and let a second one through, hidden in the first. These checks refuse them; they look at bytes
// and at Beast's fields, and leave the meaning to Beast.
//
// Threads  pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "serve/http_request.h"

namespace qh::serve {

/// The lines of a head or of trailers, each with its end: CR LF ends it and stands nowhere else, and none goes on
/// in the next (RFC 9112 sections 2.2 and 5.2).
std::optional<HttpRefusal> judge_lines(std::string_view lines);
/// A length that Beast's integers cannot hold is too large, and not malformed.
std::optional<HttpRefusal> judge_length_digits(std::string_view lines, HttpLimits limits);

/// What Beast has made of the head: one Host, one length and no doubt about it (sections 3.2 and 6.3).
/// Sets expects_continue.
std::optional<HttpRefusal> judge_head(RequestHead& head);

struct ChunkLine {
  std::size_t bytes = 0;  ///< of the part that Beast is to read; 0 while it has not all come
  std::optional<HttpRefusal> refusal = std::nullopt;
};
/// Cuts a chunk's line off `text`; with it the end of the data before, and behind the last chunk the trailers.
ChunkLine cut_chunk_line(std::string_view text, bool behind_data, HttpLimits limits);

HttpRefusal body_too_large(HttpLimits limits);
/// The Content-Length among these header lines; 0 without one that is a number.
std::uint64_t announced_length(std::string_view lines);
/// The size that a chunk's line says, as cut_chunk_line() cuts it; 0 without one.
std::uint64_t announced_chunk(std::string_view part);
/// Names of fields and codings are the same in whatever case.
bool same_name(std::string_view a, std::string_view b);

}  // namespace qh::serve
