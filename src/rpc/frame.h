// rpc/frame.h - the frames of the binary codec: what stands around a body, on any stream of bytes.
//
// A stream begins with a preface each way, then come frames: a header of 16 bytes, and a body. Nothing here does I/O,
// so that servers, clients and other channels (QSSH) share it. What the bodies hold: rpc/binary_body.h.
//
// Format   docs/formats/rpc-binary.md; bytes fixed by tests/golden/rpc_binary_v1_*.
// Errors   a frame that cannot be one is kBroken, with the reason; nothing behind it can be found again.
// Threads  pure functions, values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace qh::rpc::binary {

inline constexpr std::uint16_t kVersion = 1;
inline constexpr std::size_t kPrefaceBytes = 8;
inline constexpr std::size_t kHeaderBytes = 16;
/// Of a request. Answers have no bound but that of what was asked for: a list ends at the queue's max-batch-bytes.
inline constexpr std::uint32_t kRequestBodyBytesMax = 8U << 20;

/// Cancel ends the wait of the request with its id, and has no answer of its own; method, flags and body are 0.
enum class Kind : std::uint8_t { kRequest = 0, kResult = 1, kError = 2, kCancel = 3 };

/// The body is JSON text: params of a request, or a result. An answer has the form of its request.
inline constexpr std::uint8_t kFlagJson = 1;

struct Header {
  std::uint32_t body_bytes = 0;
  std::uint64_t id = 0;  ///< the client's; of an answer, its request's. 0: of the connection itself
  std::uint16_t method = 0;
  Kind kind = Kind::kRequest;
  std::uint8_t flags = 0;

  bool json() const { return (flags & kFlagJson) != 0; }
  friend bool operator==(const Header&, const Header&) = default;
};

/// Appends "QHRPC", 0 and the version.
void put_preface(Bytes& out, std::uint16_t version = kVersion);

struct Preface {
  enum class State : std::uint8_t { kNeedsMore, kGood, kForeign };
  State state = State::kNeedsMore;
  std::uint16_t version = 0;
};
/// kForeign as soon as one byte differs: the peer speaks something else.
Preface parse_preface(ByteView in);

/// Appends a frame around the body that is written into `out` while this lives.
class FrameWriter {
 public:
  /// `header.body_bytes` is found by finish().
  FrameWriter(Bytes& out, const Header& header);
  void finish();
  /// The body came to nothing: takes the frame away again.
  void discard();

 private:
  Bytes& out_;
  std::size_t begin_;
};
/// A whole frame.
void put_frame(Bytes& out, Header header, ByteView body);

struct Frame {
  enum class State : std::uint8_t { kNeedsMore, kFrame, kBroken };
  State state = State::kNeedsMore;
  Header header;
  ByteView body;              ///< points into the input
  std::string_view why = {};  ///< of kBroken

  std::size_t wire_bytes() const { return kHeaderBytes + header.body_bytes; }
};

enum class From : std::uint8_t { kClient, kServer };
/// The frame at the begin of `in`, sent by that side. kNeedsMore: header.body_bytes is known once 16 bytes are there.
Frame parse_frame(ByteView in, From from);

}  // namespace qh::rpc::binary
