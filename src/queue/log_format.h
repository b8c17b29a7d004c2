// queue/log_format.h - the bytes of the write-ahead log. docs/formats/wal.md is the same in prose.
//
// A queue's directory holds `identity`, `mark` and the segments `00000001.wal`, `00000002.wal`, ...
// A segment is a header block, then batches. A batch starts at a block boundary: a `batch` record,
// then the records it carries, then zeros up to the next boundary; it is written and synced as one.
//
// Record    u32 length of all of it | u8 type | u8 flags | u16 zero | u64 sequence | payload | u64 XXH3-64
//           of everything before it, seeded with the life number of the segment. A record of an earlier
//           life of a recycled segment therefore never checks.
// Sequence  logical records count up by one through all segments. `batch`, `mark` and `seal` carry the
//           number that the next logical record will have and do not count.
// Threads   pure functions and values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/storage.h"
#include "queue/metrics.h"

namespace qh::queue::wal {

inline constexpr std::uint16_t kFormatMajor = 1;
inline constexpr std::uint16_t kFormatMinor = 0;
inline constexpr std::uint32_t kBlockBytes = Storage::kBlockBytes;
/// Shorter segments are not made, and a file that damage has made shorter is not used again: no batch has to fit there.
inline constexpr std::uint64_t kSegmentBytesLeast = std::uint64_t{8} * kBlockBytes;
inline constexpr std::uint32_t kRecordHeaderBytes = 16;
inline constexpr std::uint32_t kRecordOverheadBytes = kRecordHeaderBytes + 8;
inline constexpr std::uint32_t kQueueNameBytesMax = 64;

using QueueId = std::array<std::byte, 16>;

enum class RecordType : std::uint8_t {
  kBatch = 1,
  kMark = 2,
  kSeal = 3,
  kPut = 16,
  kTake = 17,
  kLease = 18,
  kHold = 19,
  kAck = 20,
  kNack = 21,
  kReturn = 22,
  kDead = 23,
  kRevive = 24,
  kRemove = 25,
  kKey = 26,
  kState = 27,
  kEvict = 28,
};
std::string_view record_type_name(RecordType type);
/// False for the records that carry a sequence number without using it up.
constexpr bool is_logical(RecordType type) { return type >= RecordType::kPut; }

/// What holds for the whole queue rather than for one message. Every segment header carries it as of
/// the segment's first record, so that older segments can go; a `state` record changes it.
struct QueueState {
  std::uint64_t next_message_id = 1;  ///< ceiling: ids below may have been given
  std::uint64_t next_lease_id = 1;    ///< ceiling
  std::uint64_t head_segment = 1;     ///< oldest segment that is needed
  std::uint8_t paused_kinds = 0;
  Counters counters;
  friend bool operator==(const QueueState&, const QueueState&) = default;
};

struct SegmentHeader {
  std::uint64_t index = 0;        ///< the number in its file name
  std::uint64_t bytes = 0;        ///< of the file, header included
  std::uint64_t life = 0;         ///< random at each use
  std::uint64_t first_seq = 0;    ///< follows the last of the segment before
  std::uint64_t durable_seq = 0;  ///< every logical record below was durable
  QueueId queue_id{};
  WallTime created_at;
  std::string queue_name;
  QueueState state;
};

void encode_state(const QueueState& state, Bytes& out);
Result<QueueState> decode_state(ByteView payload);

/// One block.
void encode_header(const SegmentHeader& header, std::span<std::byte> block);
/// kCorrupt, or kNewerVersion. `std::nullopt` for a block of zeros: never used.
Result<std::optional<SegmentHeader>> decode_header(ByteView block);

/// The identity file: one block, durable before the first record is acknowledged.
struct Identity {
  QueueId queue_id{};
  std::string queue_name;
};
void encode_identity(const Identity& identity, std::span<std::byte> block);
Result<Identity> decode_identity(ByteView block);

/// The mark file: two such blocks, written in turn when the queue falls idle. It stands outside the log
/// so that a tail which is cut off or zeroed at rest is seen.
struct Mark {
  std::uint64_t turn = 0;         ///< the larger one is newer; block turn % 2
  std::uint64_t durable_seq = 0;  ///< every logical record below was durable
  std::uint64_t segment = 0;
  QueueId queue_id{};
};
void encode_mark(const Mark& mark, std::span<std::byte> block);
std::optional<Mark> decode_mark(ByteView block);

/// Payload of the `batch` record.
struct BatchHeader {
  std::uint64_t life = 0;         ///< in plain, to tell an earlier life from damage
  std::uint32_t bytes = 0;        ///< of all records, this one included, without the padding
  std::uint32_t records = 0;      ///< behind this one
  std::uint64_t durable_seq = 0;  ///< every logical record below was durable when this was written
};
inline constexpr std::uint32_t kBatchRecordBytes = kRecordOverheadBytes + 8 + 8 + 4 + 4 + 8;

/// Payload of the `seal` record: the log goes on in this segment.
struct Seal {
  std::uint64_t next_segment = 0;
  std::uint64_t next_life = 0;
};
void encode_seal(const Seal& seal, Bytes& out);

/// Appends a record whose sequence and checksum are filled in by finish_record. Returns its offset.
std::size_t begin_record(Bytes& out, RecordType type);
/// Sets the length of the record that starts at `at`; call when its payload is complete.
void end_record(Bytes& out, std::size_t at);
/// Sets sequence and checksum of a complete record in place.
void finish_record(std::span<std::byte> record, std::uint64_t seq, std::uint64_t life);
void write_batch_record(std::span<std::byte> at, std::uint64_t seq, const BatchHeader& header);

struct RecordView {
  RecordType type{};
  std::uint64_t seq = 0;
  ByteView payload;
  std::uint32_t bytes = 0;
};
/// A record at the start of `in`, if it is whole and its checksum holds for this life.
std::optional<RecordView> read_record(ByteView in, std::uint64_t life);
/// The batch record at the start of a block, if it holds for the life that it names itself.
std::optional<std::pair<RecordView, BatchHeader>> read_batch_record(ByteView in);
/// True when a block looks like a batch of this life whose record has been damaged: it names this life, or its checksum
/// holds once it does. The magic alone proves nothing: what was submitted in an earlier life may contain it.
bool looks_like_batch_of(ByteView block, std::uint64_t life);
/// True for what a header leaves in a file that was made ready for it when the write is cut off: sectors of it, of
/// zeros, and of the header of the file's earlier life. `block` may be shorter than a block.
bool may_be_torn_header(ByteView block);

bool is_zero(ByteView bytes);

std::string segment_name(std::uint64_t index);
/// The number in "00000042.wal"; nothing for other names.
std::optional<std::uint64_t> segment_index(std::string_view name);

/// Behind a segment's name: it is being removed. The next start does what is left of that.
inline constexpr std::string_view kRemovingSuffix = ".removing";
inline constexpr std::string_view kIdentityName = "identity";
inline constexpr std::string_view kMarkName = "mark";

}  // namespace qh::queue::wal
