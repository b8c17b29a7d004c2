#include "serve/http_framing.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

namespace qh::serve {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
/// More significant digits, decimal or hexadecimal, than any limit has, and fewer than 64 bits hold.
constexpr std::size_t kLengthDigitsMax = 15;

std::optional<HttpRefusal> refuse(int status, std::string why) { return HttpRefusal{status, std::move(why)}; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
/// Of text; a tab is not, here.
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool are_digits(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_digit); }

std::string_view significant(std::string_view digits) {
  return digits.substr(std::min(digits.find_first_not_of('0'), digits.size()));
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Calls `judge` with each line, without its end, until one is refused.
template <class Judge>
std::optional<HttpRefusal> each_line(std::string_view lines, Judge judge) {
  while (!lines.empty()) {
    const auto end = std::min(lines.find(kLineEnd), lines.size());
    if (auto refusal = judge(lines.substr(0, end))) return refusal;
    lines.remove_prefix(std::min(end + 2, lines.size()));
  }
  return std::nullopt;
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

HttpRefusal body_too_large(HttpLimits limits) {
  return {413, "the body is over " + std::to_string(limits.body_bytes) + " bytes"};
}

std::uint64_t announced_length(std::string_view lines) {
  std::uint64_t length = 0;
  (void)each_line(lines, [&](std::string_view line) {
    const auto colon = std::min(line.find(':'), line.size());
    if (!same_name(line.substr(0, colon), "Content-Length")) return std::optional<HttpRefusal>();
    const auto value = trimmed(line.substr(std::min(colon + 1, line.size())));
    if (are_digits(value)) std::from_chars(value.data(), value.data() + value.size(), length);
    return std::optional<HttpRefusal>();
  });
  return length;
}

std::uint64_t announced_chunk(std::string_view part) {
  if (part.starts_with(kLineEnd)) part.remove_prefix(kLineEnd.size());
  std::uint64_t size = 0;
  std::from_chars(part.data(), part.data() + part.size(), size, 16);
  return size;
}

std::optional<HttpRefusal> judge_lines(std::string_view lines) {
  return each_line(lines, [](std::string_view line) {
    if (line.find_first_of(kLineEnd) != line.npos) return refuse(400, "a CR or LF inside a line");
    if (line.starts_with(' ') || line.starts_with('\t')) return refuse(400, "a folded header line");
    return std::optional<HttpRefusal>();
  });
}

std::optional<HttpRefusal> judge_length_digits(std::string_view lines, HttpLimits limits) {
  return each_line(lines, [&](std::string_view line) {
    const auto colon = std::min(line.find(':'), line.size());
    if (!same_name(line.substr(0, colon), "Content-Length")) return std::optional<HttpRefusal>();
    const auto value = trimmed(line.substr(std::min(colon + 1, line.size())));
    const bool overlong = are_digits(value) && significant(value).size() > kLengthDigitsMax;
    return overlong ? std::optional(body_too_large(limits)) : std::nullopt;
  });
}

namespace {

std::optional<HttpRefusal> judge_fields(RequestHead& head) {
  // Beast lets bytes above 0x7f into a target.
  if (std::any_of(head.target.begin(), head.target.end(), [](char c) { return static_cast<unsigned char>(c) > 0x7e; }))
    return refuse(400, "a target that is not ASCII");
  const auto hosts = head.count("Host");
  if (hosts > 1 || (head.http_1_1 && hosts == 0)) return refuse(400, "exactly one Host is needed");
  // Two of these could be understood differently by whoever stands before us and by us.
  for (const char* once : {"Authorization", "Origin", "Expect"}) {
    if (head.count(once) > 1) return refuse(400, std::string(once) + " is given twice");
  }
  const auto expect = head.field("Expect");
  if (!expect || !head.http_1_1) return std::nullopt;
  if (!same_name(*expect, "100-continue")) return refuse(417, "only 100-continue can be expected");
  head.expects_continue = true;
  return std::nullopt;
}

std::optional<HttpRefusal> judge_framing(const RequestHead& head) {
  const auto lengths = head.count("Content-Length");
  const auto codings = head.count("Transfer-Encoding");
  if (lengths != 0 && codings != 0) return refuse(400, "both Content-Length and Transfer-Encoding");
  if (lengths > 1 || codings > 1) return refuse(400, "the length of the body is given twice");
  if (lengths == 1 && !are_digits(*head.field("Content-Length"))) return refuse(400, "Content-Length is no number");
  if (codings == 1) {
    if (!head.http_1_1) return refuse(400, "Transfer-Encoding in HTTP/1.0");
    if (!same_name(*head.field("Transfer-Encoding"), "chunked"))
      return refuse(501, "the only coding spoken here is chunked");
  }
  if (head.chunked != (codings == 1)) return refuse(400, "the body's coding is in doubt");
  return std::nullopt;
}

/// `line` ends where `rest` has its first CR LF. A size that Beast could read in another way is refused.
std::optional<HttpRefusal> judge_chunk_line(std::string_view line, HttpLimits limits) {
  const auto bad = [](char c) { return c != '\t' && is_control(c); };
  if (std::any_of(line.begin(), line.end(), bad)) return refuse(400, "a control character in a chunk line");
  const auto size = line.substr(0, line.find(';'));
  if (size.empty() || !std::all_of(size.begin(), size.end(), is_hex_digit))
    return refuse(400, "a chunk without a size");
  if (significant(size).size() > kLengthDigitsMax) return body_too_large(limits);
  return std::nullopt;
}

/// `rest` begins with the end of the last chunk's line. The bytes behind that are bounded like a header.
ChunkLine cut_trailers(std::string_view rest, HttpLimits limits) {
  const auto end = rest.find("\r\n\r\n");
  const auto trailer_bytes = end == rest.npos ? rest.size() - 1 : end + 2;
  if (trailer_bytes > limits.header_bytes) return {.refusal = refuse(431, "trailers over the header's limit")};
  if (end == rest.npos) return {};
  if (auto refusal = judge_lines(rest.substr(2, end))) return {.refusal = refusal};
  return {.bytes = end + 4};
}

}  // namespace

std::optional<HttpRefusal> judge_head(RequestHead& head) {
  if (auto refusal = judge_fields(head)) return refusal;
  return judge_framing(head);
}

ChunkLine cut_chunk_line(std::string_view text, bool behind_data, HttpLimits limits) {
  const std::size_t begin = behind_data ? 2 : 0;
  if (text.size() < begin) return {};
  if (behind_data && !text.starts_with(kLineEnd))
    return {.refusal = refuse(400, "a chunk that does not end where it said")};
  const auto rest = text.substr(begin);
  const auto end = rest.find(kLineEnd);
  const auto longest = end == rest.npos ? rest.size() - rest.ends_with('\r') : end;
  if (longest > kChunkLineBytesMax) return {.refusal = refuse(400, "a chunk line over 256 bytes")};
  if (end == rest.npos) return {};
  const auto line = rest.substr(0, end);
  if (auto refusal = judge_chunk_line(line, limits)) return {.refusal = refusal};
  if (!significant(line.substr(0, line.find(';'))).empty()) return {.bytes = begin + end + 2};
  auto trailers = cut_trailers(rest.substr(end), limits);
  if (trailers.bytes != 0) trailers.bytes += begin + end;
  return trailers;
}

}  // namespace qh::serve
