#include "queue/log_records.h"

#include "base/codec.h"

namespace qh::queue::wal {
namespace {

constexpr std::uint8_t kFlagCarried = 1;
constexpr std::uint8_t kFlagDead = 2;
constexpr std::size_t kPutFixedBytes = 8 + 8 + 8 + 8 + 2 + 2 + 1 + 1 + 1 + 2;
constexpr std::size_t kDeathBytes = 1 + 8;

std::optional<DeadReason> dead_reason(std::uint8_t value) {
  if (value > static_cast<std::uint8_t>(DeadReason::kExpired)) return std::nullopt;
  return static_cast<DeadReason>(value);
}

MessageId get_id(ByteReader& in) { return MessageId(in.get<std::uint64_t>()); }

}  // namespace

void encode(const Put& put, Bytes& bytes) {
  ByteWriter out(bytes);
  const auto flags = static_cast<std::uint8_t>((put.carried ? kFlagCarried : 0) | (put.death ? kFlagDead : 0));
  out.put(put.id.value(), put.created_at.ns, put.not_before_ms, put.expires_at_ms, put.deliveries, put.group_left,
          flags);
  if (put.death) {
    out.put(static_cast<std::uint8_t>(put.death->reason));
    out.put(put.death->at_ms);
  }
  out.put_sized<std::uint8_t>(as_bytes(put.submitted_by));
  out.put_sized<std::uint8_t>(as_bytes(put.key));
  out.put_sized<std::uint16_t>(as_bytes(put.last_error));
  out.put_raw(put.body);
}

std::optional<Put> decode_put(ByteView payload) {
  ByteReader in(payload);
  Put put;
  put.id = get_id(in);
  put.created_at.ns = in.get<std::int64_t>();
  put.not_before_ms = in.get<std::int64_t>();
  put.expires_at_ms = in.get<std::int64_t>();
  put.deliveries = in.get<std::uint16_t>();
  put.group_left = in.get<std::uint16_t>();
  const auto flags = in.get<std::uint8_t>();
  if ((flags & ~(kFlagCarried | kFlagDead)) != 0) return std::nullopt;
  put.carried = (flags & kFlagCarried) != 0;
  if ((flags & kFlagDead) != 0) {
    const auto reason = dead_reason(in.get<std::uint8_t>());
    if (!reason) return std::nullopt;
    put.death = Put::Death{*reason, in.get<std::int64_t>()};
  }
  put.submitted_by = as_text(in.get_sized<std::uint8_t>());
  put.key = as_text(in.get_sized<std::uint8_t>());
  put.last_error = as_text(in.get_sized<std::uint16_t>());
  put.body = in.rest();
  if (!in.ok() || !kind_of_body(put.body)) return std::nullopt;
  return put;
}

void encode(const Lease& lease, Bytes& bytes) {
  ByteWriter out(bytes);
  out.put(lease.id.value());
  out.put(lease.lease.value());
  out.put(lease.deliveries);
}

std::optional<Lease> decode_lease(ByteView payload) {
  ByteReader in(payload);
  Lease lease;
  lease.id = get_id(in);
  lease.lease = LeaseId(in.get<std::uint64_t>());
  lease.deliveries = in.get<std::uint16_t>();
  if (!in.at_end()) return std::nullopt;
  return lease;
}

void encode(const Nack& nack, Bytes& bytes) {
  ByteWriter out(bytes);
  out.put(nack.id.value());
  out.put(nack.deliveries);
  out.put(nack.ready_at_ms);
  out.put_sized<std::uint16_t>(as_bytes(nack.error));
}

std::optional<Nack> decode_nack(ByteView payload) {
  ByteReader in(payload);
  Nack nack;
  nack.id = get_id(in);
  nack.deliveries = in.get<std::uint16_t>();
  nack.ready_at_ms = in.get<std::int64_t>();
  nack.error = as_text(in.get_sized<std::uint16_t>());
  if (!in.at_end()) return std::nullopt;
  return nack;
}

void encode(const Return& back, Bytes& bytes) {
  ByteWriter out(bytes);
  out.put(back.id.value());
  out.put(back.deliveries);
}

std::optional<Return> decode_return(ByteView payload) {
  ByteReader in(payload);
  Return back;
  back.id = get_id(in);
  back.deliveries = in.get<std::uint16_t>();
  if (!in.at_end()) return std::nullopt;
  return back;
}

void encode(const Dead& dead, Bytes& bytes) {
  ByteWriter out(bytes);
  out.put(dead.id.value());
  out.put(static_cast<std::uint8_t>(dead.reason));
  out.put(dead.at_ms);
  out.put_sized<std::uint16_t>(as_bytes(dead.error));
}

std::optional<Dead> decode_dead(ByteView payload) {
  ByteReader in(payload);
  Dead dead;
  dead.id = get_id(in);
  const auto reason = dead_reason(in.get<std::uint8_t>());
  dead.at_ms = in.get<std::int64_t>();
  dead.error = as_text(in.get_sized<std::uint16_t>());
  if (!in.at_end() || !reason) return std::nullopt;
  dead.reason = *reason;
  return dead;
}

void encode(const Key& key, Bytes& bytes) {
  ByteWriter out(bytes);
  out.put(key.id.value());
  out.put(key.created_at.ns);
  out.put(static_cast<std::uint8_t>(key.kind));
  out.put_raw(as_bytes(key.key));
}

std::optional<Key> decode_key(ByteView payload) {
  ByteReader in(payload);
  Key key;
  key.id = get_id(in);
  key.created_at.ns = in.get<std::int64_t>();
  const auto kind = in.get<std::uint8_t>();
  key.key = as_text(in.rest());
  if (key.key.size() > UINT8_MAX) return std::nullopt;
  if (!in.ok() || kind >= kKindCount) return std::nullopt;
  key.kind = static_cast<Kind>(kind);
  return key;
}

void encode(MessageId id, Bytes& bytes) { ByteWriter(bytes).put(id.value()); }

std::optional<MessageId> decode_id(ByteView payload) {
  ByteReader in(payload);
  const auto id = get_id(in);
  if (!in.at_end()) return std::nullopt;
  return id;
}

std::uint32_t put_record_bytes(std::size_t body, std::size_t submitter, std::size_t key, std::size_t error, bool dead) {
  return static_cast<std::uint32_t>(kRecordOverheadBytes + kPutFixedBytes + (dead ? kDeathBytes : 0) + submitter + key +
                                    error + body);
}

std::uint32_t key_record_bytes(std::size_t key) {
  return static_cast<std::uint32_t>(kRecordOverheadBytes + 8 + 8 + 1 + key);
}

}  // namespace qh::queue::wal
