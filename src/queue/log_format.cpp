#include "queue/log_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <fmt/format.h>
#include <xxhash.h>

#include "base/codec.h"
#include "base/invariant.h"

namespace qh::queue::wal {
namespace {

constexpr std::string_view kSegmentMagic = "QHWALSEG";
constexpr std::string_view kIdentityMagic = "QHWALQID";
constexpr std::string_view kMarkMagic = "QHWALMRK";
constexpr std::string_view kBatchMagic = "QHBATCH1";
constexpr std::size_t kChecksumAt = kBlockBytes - 8;

// Offsets inside the batch record, for the reader that looks at damaged ones.
constexpr std::size_t kBatchMagicAt = kRecordHeaderBytes;
constexpr std::size_t kBatchLifeAt = kBatchMagicAt + 8;

std::uint64_t xxh3(ByteView bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

/// A block that starts with a magic and the version and ends with its checksum.
void seal_block(std::span<std::byte> block, const Bytes& fields) {
  INVARIANT(block.size() == kBlockBytes && fields.size() <= kChecksumAt, "a header is one block");
  std::fill(block.begin(), block.end(), std::byte{0});
  std::copy(fields.begin(), fields.end(), block.begin());
  store_le(block.data() + kChecksumAt, xxh3(block.first(kChecksumAt), 0));
}

Bytes block_start(std::string_view magic) {
  Bytes fields;
  ByteWriter out(fields);
  out.put_raw(as_bytes(magic));
  out.put(kFormatMajor);
  out.put(kFormatMinor);
  out.put(std::uint32_t{0});
  return fields;
}

/// Checks magic, version and checksum; the reader stands behind them then.
Result<ByteReader> open_block(ByteView block, std::string_view magic) {
  if (block.size() < kBlockBytes) return fail(Errc::kCorrupt, "the header is cut short");
  block = block.first(kBlockBytes);
  ByteReader in(block.first(kChecksumAt));
  if (as_text(in.get_raw(magic.size())) != magic) {
    return fail(Errc::kCorrupt, "the header does not start with " + std::string(magic));
  }
  const auto major = in.get<std::uint16_t>();
  in.get<std::uint16_t>();
  in.get<std::uint32_t>();
  const bool checks = load_le<std::uint64_t>(block.data() + kChecksumAt) == xxh3(block.first(kChecksumAt), 0);
  if (checks && major > kFormatMajor) {
    return fail(
        Errc::kNewerVersion,
        fmt::format("written in format {}, this program reads up to {}: use a newer program", major, kFormatMajor));
  }
  if (!checks) return fail(Errc::kCorrupt, "the checksum of the header does not hold");
  return in;
}

void put_counters(ByteWriter& out, const Counters& c) {
  for (const auto v : {c.submitted_sync, c.submitted_async, c.taken, c.leased, c.acked, c.nacked, c.expired_leases,
                       c.dead_lettered, c.dead_retried, c.dead_evicted, c.removed, c.duplicates}) {
    out.put(v);
  }
}

void get_counters(ByteReader& in, Counters& c) {
  for (auto* v : {&c.submitted_sync, &c.submitted_async, &c.taken, &c.leased, &c.acked, &c.nacked, &c.expired_leases,
                  &c.dead_lettered, &c.dead_retried, &c.dead_evicted, &c.removed, &c.duplicates}) {
    *v = in.get<std::uint64_t>();
  }
}

QueueState get_state(ByteReader& in) {
  QueueState state;
  state.next_message_id = in.get<std::uint64_t>();
  state.next_lease_id = in.get<std::uint64_t>();
  state.head_segment = in.get<std::uint64_t>();
  state.paused_kinds = in.get<std::uint8_t>();
  get_counters(in, state.counters);
  return state;
}

void get_id(ByteReader& in, QueueId& id) {
  const auto raw = in.get_raw(id.size());
  if (in.ok()) std::copy(raw.begin(), raw.end(), id.begin());
}

}  // namespace

// Each byte is compared with the one before it, as fast as memcmp goes: whole segments are looked at.
bool is_zero(ByteView bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

std::string_view record_type_name(RecordType type) {
  switch (type) {
    case RecordType::kBatch:
      return "batch";
    case RecordType::kMark:
      return "mark";
    case RecordType::kSeal:
      return "seal";
    case RecordType::kPut:
      return "put";
    case RecordType::kTake:
      return "take";
    case RecordType::kLease:
      return "lease";
    case RecordType::kHold:
      return "hold";
    case RecordType::kAck:
      return "ack";
    case RecordType::kNack:
      return "nack";
    case RecordType::kReturn:
      return "return";
    case RecordType::kDead:
      return "dead";
    case RecordType::kRevive:
      return "revive";
    case RecordType::kRemove:
      return "remove";
    case RecordType::kKey:
      return "key";
    case RecordType::kState:
      return "state";
    case RecordType::kEvict:
      return "evict";
  }
  return "unknown";
}

void encode_state(const QueueState& state, Bytes& bytes) {
  ByteWriter out(bytes);
  out.put(state.next_message_id);
  out.put(state.next_lease_id);
  out.put(state.head_segment);
  out.put(state.paused_kinds);
  put_counters(out, state.counters);
}

Result<QueueState> decode_state(ByteView payload) {
  ByteReader in(payload);
  const auto state = get_state(in);
  if (!in.at_end()) return fail(Errc::kCorrupt, "a state record of the wrong length");
  return state;
}

void encode_header(const SegmentHeader& h, std::span<std::byte> block) {
  Bytes fields = block_start(kSegmentMagic);
  ByteWriter out(fields);
  out.put(h.index);
  out.put(h.bytes);
  out.put(h.life);
  out.put(h.first_seq);
  out.put(h.durable_seq);
  out.put_raw(h.queue_id);
  out.put(h.created_at.ns);
  encode_state(h.state, fields);
  out.put_sized<std::uint8_t>(as_bytes(h.queue_name));
  seal_block(block, fields);
}

Result<std::optional<SegmentHeader>> decode_header(ByteView block) {
  if (block.size() >= kBlockBytes && is_zero(block.first(kBlockBytes))) return std::nullopt;
  auto opened = open_block(block, kSegmentMagic);
  if (!opened) return fail(opened.error());
  ByteReader& in = *opened;
  SegmentHeader h;
  h.index = in.get<std::uint64_t>();
  h.bytes = in.get<std::uint64_t>();
  h.life = in.get<std::uint64_t>();
  h.first_seq = in.get<std::uint64_t>();
  h.durable_seq = in.get<std::uint64_t>();
  get_id(in, h.queue_id);
  h.created_at.ns = in.get<std::int64_t>();
  h.state = get_state(in);
  h.queue_name = as_text(in.get_sized<std::uint8_t>());
  if (!in.ok()) return fail(Errc::kCorrupt, "the header is cut short");
  return h;
}

void encode_identity(const Identity& identity, std::span<std::byte> block) {
  Bytes fields = block_start(kIdentityMagic);
  ByteWriter out(fields);
  out.put_raw(identity.queue_id);
  out.put_sized<std::uint8_t>(as_bytes(identity.queue_name));
  seal_block(block, fields);
}

Result<Identity> decode_identity(ByteView block) {
  auto opened = open_block(block, kIdentityMagic);
  if (!opened) return fail(opened.error());
  Identity identity;
  get_id(*opened, identity.queue_id);
  identity.queue_name = as_text(opened->get_sized<std::uint8_t>());
  if (!opened->ok()) return fail(Errc::kCorrupt, "the identity is cut short");
  return identity;
}

void encode_mark(const Mark& mark, std::span<std::byte> block) {
  Bytes fields = block_start(kMarkMagic);
  ByteWriter out(fields);
  out.put(mark.turn);
  out.put(mark.durable_seq);
  out.put(mark.segment);
  out.put_raw(mark.queue_id);
  seal_block(block, fields);
}

std::optional<Mark> decode_mark(ByteView block) {
  auto in = open_block(block, kMarkMagic);
  if (!in) return std::nullopt;
  Mark mark;
  mark.turn = in->get<std::uint64_t>();
  mark.durable_seq = in->get<std::uint64_t>();
  mark.segment = in->get<std::uint64_t>();
  get_id(*in, mark.queue_id);
  return mark;
}

void encode_seal(const Seal& seal, Bytes& bytes) {
  ByteWriter out(bytes);
  out.put(seal.next_segment);
  out.put(seal.next_life);
}

std::size_t begin_record(Bytes& out, RecordType type) {
  const auto at = out.size();
  std::array<std::byte, kRecordHeaderBytes> header{};
  header[4] = static_cast<std::byte>(type);
  ByteWriter(out).put_raw(header);
  return at;
}

void end_record(Bytes& out, std::size_t at) {
  ByteWriter(out).put(std::uint64_t{0});
  store_le(out.data() + at, static_cast<std::uint32_t>(out.size() - at));
}

void finish_record(std::span<std::byte> record, std::uint64_t seq, std::uint64_t life) {
  store_le(record.data() + 8, seq);
  const auto body = record.first(record.size() - 8);
  store_le(record.data() + body.size(), xxh3(body, life));
}

void write_batch_record(std::span<std::byte> at, std::uint64_t seq, const BatchHeader& header) {
  Bytes record;
  record.reserve(kBatchRecordBytes);
  const auto start = begin_record(record, RecordType::kBatch);
  ByteWriter out(record);
  out.put_raw(as_bytes(kBatchMagic));
  out.put(header.life);
  out.put(header.bytes);
  out.put(header.records);
  out.put(header.durable_seq);
  end_record(record, start);
  finish_record(record, seq, header.life);
  INVARIANT(record.size() == kBatchRecordBytes, "the room for a batch record is fixed");
  std::copy(record.begin(), record.end(), at.begin());
}

std::optional<RecordView> read_record(ByteView in, std::uint64_t life) {
  if (in.size() < kRecordOverheadBytes) return std::nullopt;
  const auto length = load_le<std::uint32_t>(in.data());
  if (length < kRecordOverheadBytes || length > in.size()) return std::nullopt;
  const auto body = in.first(length - 8);
  if (load_le<std::uint64_t>(in.data() + body.size()) != xxh3(body, life)) return std::nullopt;
  RecordView record;
  record.type = static_cast<RecordType>(in[4]);
  record.seq = load_le<std::uint64_t>(in.data() + 8);
  record.payload = body.subspan(kRecordHeaderBytes);
  record.bytes = length;
  return record;
}

std::optional<std::pair<RecordView, BatchHeader>> read_batch_record(ByteView in) {
  if (in.size() < kBatchRecordBytes) return std::nullopt;
  if (load_le<std::uint32_t>(in.data()) != kBatchRecordBytes) return std::nullopt;
  if (as_text(in.subspan(kBatchMagicAt, kBatchMagic.size())) != kBatchMagic) return std::nullopt;
  const auto life = load_le<std::uint64_t>(in.data() + kBatchLifeAt);
  const auto record = read_record(in, life);
  if (!record || record->type != RecordType::kBatch) return std::nullopt;
  ByteReader fields(record->payload.subspan(kBatchMagic.size()));
  BatchHeader header;
  header.life = fields.get<std::uint64_t>();
  header.bytes = fields.get<std::uint32_t>();
  header.records = fields.get<std::uint32_t>();
  header.durable_seq = fields.get<std::uint64_t>();
  return std::pair{*record, header};
}

bool looks_like_batch_of(ByteView block, std::uint64_t life) {
  if (block.size() < kBatchRecordBytes || read_batch_record(block)) return false;
  if (load_le<std::uint64_t>(block.data() + kBatchLifeAt) == life) return true;
  Bytes mended(block.begin(), block.begin() + kBatchRecordBytes);
  store_le(mended.data() + kBatchLifeAt, life);
  return read_batch_record(mended).has_value();
}

bool may_be_torn_header(ByteView block) {
  constexpr std::size_t kSectorBytes = 512;  // all fields stand in the first one, the checksum in the last
  if (block.size() < kBlockBytes) return is_zero(block);
  const bool starts_well =
      is_zero(block.first(kSectorBytes)) || as_text(block.first(kSegmentMagic.size())) == kSegmentMagic;
  return starts_well && is_zero(block.first(kChecksumAt).subspan(kSectorBytes));
}

std::string segment_name(std::uint64_t index) { return fmt::format("{:08}.wal", index); }

std::optional<std::uint64_t> segment_index(std::string_view name) {
  constexpr std::string_view kSuffix = ".wal";
  if (!name.ends_with(kSuffix) || name.size() < 8 + kSuffix.size()) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  std::uint64_t index = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  if (error != std::errc() || end != name.data() + name.size() || index == 0) return std::nullopt;
  if (segment_name(index) != std::string(name) + std::string(kSuffix)) return std::nullopt;
  return index;
}

}  // namespace qh::queue::wal
