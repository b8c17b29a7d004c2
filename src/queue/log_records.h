// queue/log_records.h - the payloads of the log's logical records, field by field.
//
// Every decoder accepts exactly what its encoder writes. Records carry results, never differences
// ("deliveries is 3", not "one more"), so that reading a record twice changes nothing.
// Threads   pure functions; views point into the input.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "queue/engine.h"
#include "queue/log_format.h"

namespace qh::queue::wal {

/// A message as it stands: at its submit, or carried forward by compaction with what became of it.
struct Put {
  MessageId id;
  WallTime created_at;
  std::int64_t not_before_ms = 0;  ///< Unix ms; 0: none
  std::int64_t expires_at_ms = 0;  ///< Unix ms; 0: none
  std::uint16_t deliveries = 0;
  std::uint16_t group_left = 0;  ///< puts of the same batch submit that follow: all of them count, or none
  bool carried = false;          ///< counted before: moved by compaction, or written at a graceful stop
  std::string_view submitted_by;
  std::string_view key;
  std::string_view last_error;  ///< of the last nack, or of the death
  struct Death {
    DeadReason reason{};
    std::int64_t at_ms = 0;
  };
  std::optional<Death> death;
  ByteView body;
};

struct Lease {
  MessageId id;
  LeaseId lease;
  std::uint16_t deliveries = 0;
};

struct Nack {
  MessageId id;
  std::uint16_t deliveries = 0;
  std::int64_t ready_at_ms = 0;  ///< Unix ms; 0: at once
  std::string_view error;
};

/// A lease given back uncounted, by a graceful stop or by a holder that lets go.
struct Return {
  MessageId id;
  std::uint16_t deliveries = 0;
};

struct Dead {
  MessageId id;
  DeadReason reason{};
  std::int64_t at_ms = 0;
  std::string_view error;
};

/// An idempotency key whose message has ended, carried forward while its window lasts.
struct Key {
  MessageId id;
  WallTime created_at;
  std::string_view key;
  Kind kind{};
};

void encode(const Put& put, Bytes& out);
void encode(const Lease& lease, Bytes& out);
void encode(const Nack& nack, Bytes& out);
void encode(const Return& back, Bytes& out);
void encode(const Dead& dead, Bytes& out);
void encode(const Key& key, Bytes& out);
void encode(MessageId id, Bytes& out);  ///< take, ack, hold, revive, remove

std::optional<Put> decode_put(ByteView payload);
std::optional<Lease> decode_lease(ByteView payload);
std::optional<Nack> decode_nack(ByteView payload);
std::optional<Return> decode_return(ByteView payload);
std::optional<Dead> decode_dead(ByteView payload);
std::optional<Key> decode_key(ByteView payload);
std::optional<MessageId> decode_id(ByteView payload);

/// Bytes of the put record in the log, padding of its batch not counted.
std::uint32_t put_record_bytes(std::size_t body, std::size_t submitter, std::size_t key, std::size_t error, bool dead);
std::uint32_t key_record_bytes(std::size_t key);

}  // namespace qh::queue::wal
