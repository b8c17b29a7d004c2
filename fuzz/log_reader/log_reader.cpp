// fuzz/log_reader - any bytes as a segment of the write-ahead log.
//
// Input   the first byte says how the rest is read: 0 a file as it stands; 1 a file whose checksums are mended,
//         so that what is behind them is reached; 2 a list of records, from which a good segment is made, and
//         flips, which damage it (make_seeds.py writes all three).
// Law     nothing is read past the end; what a scan visits stands in the file in order, without a gap, and
//         each payload that decodes has no other encoding; of a damaged segment a scan visits a prefix of what
//         it visited before, and nothing else.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <xxhash.h>

#include "base/codec.h"
#include "base/invariant.h"
#include "queue/log_records.h"
#include "queue/log_scan.h"

namespace {

using namespace qh;              // NOLINT(google-build-using-namespace)
using namespace qh::queue::wal;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kFileBytesMax = 64U << 10;

template <class Record>
void check_encoding(const std::optional<Record>& record, ByteView payload) {
  if (!record) return;
  Bytes again;
  encode(*record, again);
  INVARIANT(std::ranges::equal(again, payload), "one record, one encoding");
}

// Every decoder sees every payload, whatever its type says.
void check_payload(ByteView payload) {
  check_encoding(decode_put(payload), payload);
  check_encoding(decode_lease(payload), payload);
  check_encoding(decode_nack(payload), payload);
  check_encoding(decode_return(payload), payload);
  check_encoding(decode_dead(payload), payload);
  check_encoding(decode_key(payload), payload);
  check_encoding(decode_id(payload), payload);
  if (const auto state = decode_state(payload)) {
    Bytes again;
    encode_state(*state, again);
    INVARIANT(std::ranges::equal(again, payload), "one state, one encoding");
  }
}

void check_header(ByteView block) {
  const auto header = decode_header(block);
  if (!header || !*header) return;
  AlignedBuffer again(kBlockBytes);
  encode_header(**header, again.span());
  const auto back = decode_header(again.view());
  INVARIANT(back && *back, "what we write is a header");
  INVARIANT((*back)->life == (*header)->life && (*back)->bytes == (*header)->bytes &&
                (*back)->first_seq == (*header)->first_seq && (*back)->index == (*header)->index &&
                (*back)->durable_seq == (*header)->durable_seq && (*back)->state == (*header)->state &&
                (*back)->queue_name == (*header)->queue_name && (*back)->queue_id == (*header)->queue_id,
            "a header reads back the same");
}

void check_other_blocks(ByteView block) {
  if (const auto identity = decode_identity(block)) {
    AlignedBuffer again(kBlockBytes);
    encode_identity(*identity, again.span());
    INVARIANT(decode_identity(again.view())->queue_name == identity->queue_name, "an identity reads back the same");
  }
  if (const auto mark = decode_mark(block)) {
    AlignedBuffer again(kBlockBytes);
    encode_mark(*mark, again.span());
    INVARIANT(decode_mark(again.view())->durable_seq == mark->durable_seq, "a mark reads back the same");
  }
}

struct Visited {
  std::uint64_t offset = 0, seq = 0;
  Bytes bytes;
  friend bool operator==(const Visited&, const Visited&) = default;
};

std::vector<Visited> scan(ByteView file, std::uint64_t life, std::uint64_t offset, std::uint64_t first_seq) {
  std::vector<Visited> visited;
  std::uint64_t expected = first_seq;
  RecordVisitor visit = [&](const RecordView& record, std::uint64_t at) {
    INVARIANT(at + record.bytes <= file.size(), "a record ends in the file");
    INVARIANT(visited.empty() || visited.back().offset + visited.back().bytes.size() <= at,
              "records follow each other");
    INVARIANT(record.seq == expected, "sequence numbers have no gap");
    expected += is_logical(record.type);
    const auto bytes = file.subspan(at, record.bytes);
    visited.push_back({at, record.seq, Bytes(bytes.begin(), bytes.end())});
    check_payload(record.payload);
  };
  const auto end = scan_segment(file, life, offset, first_seq, visit);
  INVARIANT(end.offset <= align_up(file.size(), kBlockBytes) || end.offset == offset, "a scan ends in the file");
  INVARIANT(end.fault_end <= file.size(), "a fault ends in the file");
  INVARIANT(end.next_seq == expected, "what was visited was counted");
  INVARIANT(!end.resume_offset || (*end.resume_offset >= end.offset && *end.resume_offset < file.size()),
            "a salvage goes forward");
  INVARIANT(!end.resume_offset || !end.fault.empty(), "a salvage has a reason");
  if (end.resume_offset) {
    RecordVisitor nothing = [](const RecordView&, std::uint64_t) {};
    INVARIANT(scan_segment(file, life, *end.resume_offset, end.resume_seq, nothing).batches > 0,
              "a salvage finds the batch it was promised");
  }
  return visited;
}

void check_file(ByteView file) {
  check_header(file);
  check_other_blocks(file);
  const auto header = decode_header(file);
  const bool good = header && *header;
  const std::uint64_t life = good                              ? (*header)->life
                             : file.size() >= kBlockBytes + 32 ? load_le<std::uint64_t>(file.data() + kBlockBytes + 24)
                                                               : 0;
  scan(file, life, kBlockBytes, good ? (*header)->first_seq : 1);
}

/// Sets the checksums of the header and of everything that is as long as a record.
void mend(Bytes& file) {
  if (file.size() < kBlockBytes) return;
  const auto life = load_le<std::uint64_t>(file.data() + 32);  // where the header has it
  store_le(file.data() + kBlockBytes - 8, XXH3_64bits_withSeed(file.data(), kBlockBytes - 8, 0));
  for (std::size_t block = kBlockBytes; block + kBatchRecordBytes <= file.size(); block += kBlockBytes) {
    for (std::size_t at = block; at + kRecordOverheadBytes <= file.size();) {
      const auto length = load_le<std::uint32_t>(file.data() + at);
      if (length < kRecordOverheadBytes || length > file.size() - at) break;
      finish_record(std::span(file).subspan(at, length), load_le<std::uint64_t>(file.data() + at + 8), life);
      at += length;
    }
  }
}

/// Records: type, length, payload; a type of 0 ends a batch, 255 the list. Then flips: where (u16), mask.
void check_composed(ByteView input) {
  constexpr std::uint64_t kLife = 0x1122334455667788;
  constexpr std::uint64_t kFirstSeq = 7;
  ByteReader in(input);
  Bytes file(kBlockBytes);
  std::uint64_t seq = kFirstSeq;
  bool more = true;
  while (more && file.size() < kFileBytesMax) {
    Bytes records;
    std::uint32_t count = 0;
    while (true) {
      const auto type = in.get<std::uint8_t>();
      more = in.ok() && type != 255;
      if (!more || type == 0) break;
      const auto payload = in.get_sized<std::uint8_t>();
      const auto at = begin_record(records, static_cast<RecordType>(type));
      ByteWriter(records).put_raw(payload);
      end_record(records, at);
      ++count;
    }
    const auto at = file.size();
    const auto used = kBatchRecordBytes + records.size();
    file.resize(align_up(at + used, kBlockBytes));
    const auto out = std::span(file).subspan(at);
    write_batch_record(out, seq, {kLife, static_cast<std::uint32_t>(used), count, seq});
    std::copy(records.begin(), records.end(), out.begin() + kBatchRecordBytes);
    for (std::size_t i = kBatchRecordBytes; i < used;) {
      const auto length = load_le<std::uint32_t>(out.data() + i);
      finish_record(out.subspan(i, length), seq, kLife);
      seq += is_logical(static_cast<RecordType>(out[i + 4]));
      i += length;
    }
  }
  const auto before = scan(file, kLife, kBlockBytes, kFirstSeq);
  bool flipped = false;
  while (true) {
    const auto at = in.get<std::uint16_t>();
    const auto mask = in.get<std::uint8_t>();
    if (!in.ok()) break;
    file[at % file.size()] ^= std::byte{mask};
    flipped = true;
  }
  if (!flipped) return;
  const auto after = scan(file, kLife, kBlockBytes, kFirstSeq);
  INVARIANT(after.size() <= before.size() && std::equal(after.begin(), after.end(), before.begin()),
            "damage is not served as data");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  if (input.empty() || input.size() > kFileBytesMax) return 0;
  const auto rest = input.subspan(1);
  check_payload(rest);
  switch (data[0] % 3) {
    case 0:
      check_file(rest);
      break;
    case 1: {
      Bytes file(rest.begin(), rest.end());
      mend(file);
      check_file(file);
      break;
    }
    default:
      check_composed(rest);
      break;
  }
  return 0;
}
