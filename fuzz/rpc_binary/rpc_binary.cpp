// fuzz/rpc_binary - any bytes: as a stream to a server of the binary RPC, and as the body of an answer.
//
// Laws: every whole request in front of what cannot be a frame is answered exactly once, under its id and method,
// however the stream is cut into reads; what cannot be a frame gets a last word and nothing behind it is carried out;
// what the server sends can be read, and so can the error in it; the body of an answer that is accepted has no other
// encoding.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "fuzz/rpc_bed.h"
#include "rpc/binary_body.h"
#include "rpc/binary_link.h"

namespace {

using namespace qh;               // NOLINT(google-build-using-namespace)
using namespace qh::rpc::binary;  // NOLINT(google-build-using-namespace)

/// How many answers are due under an id and a method.
using Due = std::map<std::pair<std::uint64_t, std::uint16_t>, int>;

struct Expected {
  Due due;
  bool ends = false;
};

Expected expect(ByteView stream) {
  Expected expected;
  for (;;) {
    const auto frame = parse_frame(stream, From::kClient);
    if (frame.state == Frame::State::kNeedsMore) return expected;
    if (frame.header.kind != Kind::kCancel || frame.state == Frame::State::kBroken)
      ++expected.due[{frame.header.id, frame.header.method}];
    if (frame.state == Frame::State::kBroken) {
      expected.ends = true;
      return expected;
    }
    stream = stream.subspan(frame.wire_bytes());
  }
}

template <class Read>
void check_body(ByteView body, Read read) {
  const auto value = read(body);
  if (!value) return;
  Bytes again;
  put_body(again, *value);
  INVARIANT(std::ranges::equal(again, body), "one value, one encoding");
}

void check_bodies(ByteView body) {
  check_body(body, read_submitted);
  check_body(body, read_message_ids);
  check_body(body, read_taken);
  check_body(body, read_leased);
  check_body(body, read_outcome);
  check_body(body, read_error);
}

void count_answers(ByteView out, Due& due) {
  while (!out.empty()) {
    const auto frame = parse_frame(out, From::kServer);
    INVARIANT(frame.state == Frame::State::kFrame, "what the server sends is frames");
    if (frame.header.kind == Kind::kError) INVARIANT(read_error(frame.body), "an error can be read");
    if (frame.header.kind == Kind::kResult && !frame.header.json()) check_bodies(frame.body);
    --due[{frame.header.id, frame.header.method}];
    out = out.subspan(frame.wire_bytes());
  }
}

void check_stream(fuzz::Bed& bed, ByteView stream, std::size_t step) {
  auto [due, ends] = expect(stream);
  bed.wear(due.size());
  rpc::BinaryLink link(bed.dispatcher(), {.name = "alice", .roles = rpc::RoleSet::all()}, [] {});
  Bytes preface, pending;
  put_preface(preface);
  INVARIANT(link.take(preface) == kPrefaceBytes && std::exchange(link.out(), {}) == preface, "the preface comes back");
  const auto take = [&] {
    const auto taken = link.take(pending);
    INVARIANT(taken <= pending.size(), "no more than there is");
    pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(taken));
    bed.settle();
    count_answers(std::exchange(link.out(), {}), due);
  };
  for (std::size_t at = 0; at < stream.size(); at += step) {
    const auto part = stream.subspan(at, std::min(step, stream.size() - at));
    pending.insert(pending.end(), part.begin(), part.end());
    take();
  }
  for (int round = 0; round < 8 && (link.open_calls() != 0 || link.full()); ++round) {
    bed.pass_time();
    take();
  }
  INVARIANT(link.open_calls() == 0, "nothing stays open");
  INVARIANT(link.ended() == ends, "it ends where it cannot be understood, and only there");
  for (const auto& [key, count] : due) INVARIANT(count == 0, "each is answered exactly once");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static auto bed = std::make_unique<fuzz::Bed>();
  if (size == 0 || size > 16'384) return 0;
  if (bed->worn()) bed = std::make_unique<fuzz::Bed>();
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
  check_stream(*bed, bytes, data[0] == 0 ? size : data[0]);
  check_bodies(bytes);
  rpc::BinaryLink foreign(bed->dispatcher(), {.name = "alice", .roles = rpc::RoleSet::all()}, [] {});
  (void)foreign.take(bytes);
  return 0;
}
