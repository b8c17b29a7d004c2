// rpc/binary_body.h - the bodies of the binary codec, both ways: requests as a client writes them, answers as a server
// writes and a client reads them.
//
//   Bytes out;
//   put_request(out, 1, Submit{.message = queue::encode(message).value()});
//   ...
//   const auto frame = parse_frame(in, From::kServer);
//   const auto submitted = read_submitted(frame.body);
//
// Parameters are a mask of those that are there, then their values in the order of the method table (rpc/method.h).
// What a server reads of them: rpc/arguments.h. A method that is not here is called with JSON.
//
// Format   docs/formats/rpc-binary.md; one value has one encoding.
// Errors   kCorrupt from the readers: not what a server of this version sends.
// Threads  pure functions. What a reader gives owns its bytes, but RemoteError, which points into the body.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "queue/engine.h"
#include "rpc/frame.h"

namespace qh::rpc::binary {

/// The numbers of the methods that have typed bodies. Every method's number is in the method table.
enum class MethodNumber : std::uint16_t {
  kSubmitMessage = 1,
  kSubmitBatch = 2,
  kPopMessage = 3,
  kLease = 4,
  kAck = 5,
  kNack = 6,
  kExtend = 7,
  kPopBatch = 26,
};

// -- Requests: each put_request() appends a whole frame ----------------------------------------------------

struct Submit {
  ByteView message;  ///< canonical body (queue/message.h)
  std::optional<queue::Durability> durability = {};
  std::optional<std::string_view> idempotency_key = {};
  std::optional<std::uint64_t> not_before_ms = {};
  std::optional<std::uint64_t> expires_at_ms = {};
  bool wait_queued = false;  ///< "wait": "queued" is given, as it may be
  std::optional<std::uint64_t> timeout_ms = {};
};
struct SubmitBatch {
  std::span<const Submit> messages;
  std::optional<queue::Durability> durability = {};
};
struct Pop {
  std::optional<queue::KindMask> kinds = {};
  std::optional<std::uint64_t> wait_ms = {};
};
struct PopBatch {
  std::uint64_t max = 1;
  std::optional<queue::KindMask> kinds = {};
  std::optional<std::uint64_t> wait_ms = {};
};
struct Lease {
  std::optional<std::uint64_t> max = {};
  std::optional<std::uint64_t> duration_ms = {};
  std::optional<queue::KindMask> kinds = {};
  std::optional<std::uint64_t> wait_ms = {};
};
struct Ack {
  std::span<const queue::LeaseId> leases;
};
struct Nack {
  std::span<const queue::LeaseId> leases;
  std::optional<std::uint64_t> delay_ms = {};
  std::optional<std::string_view> error = {};
};
struct Extend {
  std::span<const queue::LeaseId> leases;
  std::uint64_t duration_ms = 0;
};

void put_request(Bytes& out, std::uint64_t id, const Submit& request);
void put_request(Bytes& out, std::uint64_t id, const SubmitBatch& request);
void put_request(Bytes& out, std::uint64_t id, const Pop& request);
void put_request(Bytes& out, std::uint64_t id, const PopBatch& request);
void put_request(Bytes& out, std::uint64_t id, const Lease& request);
void put_request(Bytes& out, std::uint64_t id, const Ack& request);
void put_request(Bytes& out, std::uint64_t id, const Nack& request);
void put_request(Bytes& out, std::uint64_t id, const Extend& request);
/// Any method, by its number in the method table; `params` is JSON text, or nothing.
void put_json_request(Bytes& out, std::uint64_t id, std::uint16_t method, std::string_view params);
/// Ends the wait of that request, which is answered with Timeout then. Does nothing to one that has no wait.
void put_cancel(Bytes& out, std::uint64_t id);

// -- Answers: bodies alone ------------------------------------------------------------------------------

void put_body(Bytes& out, const queue::Submitted& submitted);
void put_body(Bytes& out, std::span<const queue::MessageId> ids);
/// Nothing: an empty body.
void put_body(Bytes& out, const std::optional<queue::QueuedMessage>& taken);
void put_body(Bytes& out, std::span<const queue::QueuedMessage> taken);
void put_body(Bytes& out, std::span<const queue::Leased> leased);
void put_body(Bytes& out, const queue::LeaseOutcome& outcome);

struct RemoteError {
  std::int32_t code = 0;     ///< rpc/codes.h
  std::string_view message;  ///< for people
  std::string_view data;     ///< a JSON object; `reason` is its first member
  friend bool operator==(const RemoteError&, const RemoteError&) = default;
};
void put_body(Bytes& out, const RemoteError& error);

Result<queue::Submitted> read_submitted(ByteView body);
Result<std::vector<queue::MessageId>> read_message_ids(ByteView body);
Result<std::optional<queue::QueuedMessage>> read_taken(ByteView body);
Result<std::vector<queue::QueuedMessage>> read_taken_batch(ByteView body);
Result<std::vector<queue::Leased>> read_leased(ByteView body);
Result<queue::LeaseOutcome> read_outcome(ByteView body);
Result<RemoteError> read_error(ByteView body);

}  // namespace qh::rpc::binary
