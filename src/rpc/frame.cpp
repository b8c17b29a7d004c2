#include "rpc/frame.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/codec.h"
#include "base/invariant.h"

namespace qh::rpc::binary {
namespace {

constexpr std::array kMagic{std::byte{'Q'}, std::byte{'H'}, std::byte{'R'},
                            std::byte{'P'}, std::byte{'C'}, std::byte{0}};
static_assert(kMagic.size() + sizeof(std::uint16_t) == kPrefaceBytes);

/// Where each field of a header stands.
constexpr std::size_t kIdAt = 4, kMethodAt = 12, kKindAt = 14, kFlagsAt = 15;
static_assert(kFlagsAt + 1 == kHeaderBytes);

Header load_header(const std::byte* at) {
  return {.body_bytes = load_le<std::uint32_t>(at),
          .id = load_le<std::uint64_t>(at + kIdAt),
          .method = load_le<std::uint16_t>(at + kMethodAt),
          .kind = static_cast<Kind>(at[kKindAt]),
          .flags = std::to_integer<std::uint8_t>(at[kFlagsAt])};
}

/// Nothing when it is a good one.
std::string_view fault_of(const Header& header, From from) {
  const bool asks = header.kind == Kind::kRequest || header.kind == Kind::kCancel;
  const bool answers = header.kind == Kind::kResult || header.kind == Kind::kError;
  if (!(from == From::kClient ? asks : answers)) return "a frame of a kind that this side does not send";
  if ((header.flags & ~kFlagJson) != 0) return "an unknown flag";
  if (header.id == 0 && header.kind != Kind::kError) return "the id 0, which is the connection's own";
  if (header.kind == Kind::kCancel && (header.body_bytes != 0 || header.flags != 0 || header.method != 0))
    return "a cancel with a method, a flag or a body";
  if (header.kind == Kind::kError && header.json()) return "an error with a flag";
  if (from == From::kClient && header.body_bytes > kRequestBodyBytesMax) return "a body over the limit";
  return {};
}

}  // namespace

void put_preface(Bytes& out, std::uint16_t version) {
  out.insert(out.end(), kMagic.begin(), kMagic.end());
  ByteWriter(out).put(version);
}

Preface parse_preface(ByteView in) {
  const auto magic = in.first(std::min(in.size(), kMagic.size()));
  if (!std::equal(magic.begin(), magic.end(), kMagic.begin())) return {Preface::State::kForeign};
  if (in.size() < kPrefaceBytes) return {};
  return {Preface::State::kGood, load_le<std::uint16_t>(in.data() + kMagic.size())};
}

FrameWriter::FrameWriter(Bytes& out, const Header& header) : out_(out), begin_(out.size()) {
  constexpr std::uint32_t kNotYetKnown = 0;
  ByteWriter(out_).put(kNotYetKnown, header.id, header.method, static_cast<std::uint8_t>(header.kind), header.flags);
}

void FrameWriter::finish() {
  const auto body = out_.size() - begin_ - kHeaderBytes;
  INVARIANT(std::in_range<std::uint32_t>(body), "who writes a body keeps it below 4 GiB");
  store_le(out_.data() + begin_, static_cast<std::uint32_t>(body));
}

void FrameWriter::discard() { out_.resize(begin_); }

void put_frame(Bytes& out, Header header, ByteView body) {
  FrameWriter frame(out, header);
  out.insert(out.end(), body.begin(), body.end());
  frame.finish();
}

Frame parse_frame(ByteView in, From from) {
  Frame frame;
  if (in.size() < kHeaderBytes) return frame;
  frame.header = load_header(in.data());
  frame.why = fault_of(frame.header, from);
  if (!frame.why.empty()) {
    frame.state = Frame::State::kBroken;
    return frame;
  }
  if (in.size() < frame.wire_bytes()) return frame;
  frame.state = Frame::State::kFrame;
  frame.body = in.subspan(kHeaderBytes, frame.header.body_bytes);
  return frame;
}

}  // namespace qh::rpc::binary
