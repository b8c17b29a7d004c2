// fuzz/http_request - any bytes, as one connection.
//
// Laws: how the bytes are cut into pieces changes neither how many requests there are, nor their bodies, nor
// where the stream is refused. And a request that Beast and our checks both accept has one framing: readers of
// every leniency see the same end and the same body.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/invariant.h"
#include "serve/http_request.h"
#include "serve/lenient_reader.h"

namespace {

using qh::serve::RequestReader;

constexpr qh::serve::HttpLimits kLimits{.header_bytes = 512, .body_bytes = 4096};

/// What a reader makes of it, as text. The kind of refusal may differ with the pieces; that there is one may not.
std::string read_all(std::string_view bytes, std::size_t piece) {
  RequestReader reader(kLimits);
  std::string seen;
  for (;;) {
    switch (reader.advance()) {
      case RequestReader::Progress::kNeedsMore: {
        if (bytes.empty()) return seen + "|";
        const auto room = reader.room();
        INVARIANT(!room.empty(), "a reader that needs more has room");
        const auto count = std::min({piece, bytes.size(), room.size()});
        std::memcpy(room.data(), bytes.data(), count);
        reader.filled(count);
        bytes.remove_prefix(count);
        break;
      }
      case RequestReader::Progress::kHead:
        seen += std::string(reader.head().method) + " " + std::string(reader.head().target);
        break;
      case RequestReader::Progress::kRequest:
        INVARIANT(reader.body().size() <= kLimits.body_bytes, "bodies are bounded");
        seen += "[" + std::string(reader.body()) + "]";
        reader.next();
        break;
      case RequestReader::Progress::kRefused:
        return seen + "!";
    }
  }
}

using qh::serve::test::LenientReader;

/// Byte for byte, so that each request is complete with its last one.
void expect_one_framing(std::string_view bytes) {
  RequestReader reader(kLimits);
  std::size_t begin = 0;
  for (std::size_t end = 0;;) {
    const auto progress = reader.advance();
    if (progress == RequestReader::Progress::kRefused) return;
    if (progress == RequestReader::Progress::kNeedsMore) {
      if (end == bytes.size()) return;
      reader.room().front() = bytes[end++];
      reader.filled(1);
    }
    if (progress != RequestReader::Progress::kRequest) continue;
    const LenientReader::Request ours{std::string(reader.body()), end - begin};
    for (std::uint32_t quirks = 0; quirks <= LenientReader::kAllQuirks; ++quirks)
      INVARIANT(LenientReader::read(bytes.substr(begin), quirks) == ours, "one framing, whoever reads");
    reader.next();
    begin = end;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = read_all(bytes, SIZE_MAX);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{64}}) {
    const auto in_pieces = read_all(bytes, piece);
    INVARIANT(in_pieces == whole, "pieces do not matter");
  }
  expect_one_framing(bytes);
  return 0;
}
