#include "rpc/binary_body.h"

#include "base/codec.h"
#include "rpc/binary_parameters.h"

namespace qh::rpc::binary {
namespace {

using queue::LeaseId;
using queue::MessageId;

// The places of the parameters in the method table; method_table.cpp says the same, and a test compares.
enum SubmitAt : std::uint8_t { kMessage, kDurability, kKey, kNotBefore, kExpiresAt, kWaitWord, kTimeout };
enum BatchAt : std::uint8_t { kMessages, kBatchDurability };
enum PopAt : std::uint8_t { kPopKinds, kPopWait };
enum PopBatchAt : std::uint8_t { kPopMax, kPopBatchKinds, kPopBatchWait };
enum LeaseAt : std::uint8_t { kMax, kDuration, kLeaseKinds, kLeaseWait };
enum LeasesAt : std::uint8_t { kLeases, kDelay, kError };
constexpr std::uint8_t kExtendDuration = 1;

/// Writes the mask when all values are there.
class Parameters {
 public:
  explicit Parameters(Bytes& out) : writer_(out), out_(out), at_(out.size()) { writer_.put(mask_); }

  ByteWriter& value(std::uint8_t at) {
    mask_ = static_cast<Mask>(mask_ | 1U << at);
    store_le(out_.data() + at_, mask_);
    return writer_;
  }
  void integer(std::uint8_t at, std::optional<std::uint64_t> given) {
    if (given) value(at).put(*given);
  }
  void text(std::uint8_t at, std::optional<std::string_view> given) {
    if (given) value(at).put_sized<std::uint32_t>(as_bytes(*given));
  }
  void word(std::uint8_t at, std::optional<std::uint8_t> given) {
    if (given) value(at).put(*given);
  }
  void durability(std::uint8_t at, std::optional<queue::Durability> given) {
    if (given) word(at, static_cast<std::uint8_t>(*given));
  }
  void kinds(std::uint8_t at, std::optional<queue::KindMask> given) {
    if (given) value(at).put(given->bits());
  }
  void leases(std::span<const LeaseId> given) {
    auto& writer = value(kLeases);
    writer.put(static_cast<std::uint32_t>(given.size()));
    for (const auto lease : given) writer.put(lease.value());
  }

 private:
  ByteWriter writer_;
  Bytes& out_;
  std::size_t at_;
  Mask mask_ = 0;
};

void put_submit(Bytes& out, const Submit& request) {
  Parameters parameters(out);
  parameters.value(kMessage).put_sized<std::uint32_t>(request.message);
  parameters.durability(kDurability, request.durability);
  parameters.text(kKey, request.idempotency_key);
  parameters.integer(kNotBefore, request.not_before_ms);
  parameters.integer(kExpiresAt, request.expires_at_ms);
  if (request.wait_queued) parameters.word(kWaitWord, 0);
  parameters.integer(kTimeout, request.timeout_ms);
}

template <class Fill>
void put_typed(Bytes& out, std::uint64_t id, MethodNumber method, Fill&& fill) {
  FrameWriter frame(out, {.id = id, .method = static_cast<std::uint16_t>(method)});
  fill();
  frame.finish();
}

// -- Answers ---------------------------------------------------------------------------------------------

constexpr std::uint8_t kPersisted = 1, kDuplicate = 2, kBroadcast = 2;

tl::unexpected<Error> not_an_answer(std::string_view what) {
  return fail(Errc::kCorrupt, "the body is not " + std::string(what));
}

void put_message(ByteWriter& writer, const queue::QueuedMessage& message) {
  const auto flags =
      static_cast<std::uint8_t>((message.persisted ? kPersisted : 0) | (message.broadcast ? kBroadcast : 0));
  writer.put(message.id.value(), message.created_at.ms(), message.deliveries, flags,
             static_cast<std::uint8_t>(message.submitted_by.size()));
  writer.put_raw(as_bytes(message.submitted_by));
  writer.put_sized<std::uint32_t>(message.body.view());
}

/// False: a time that none of our clocks can show, and that would not be written so again.
bool get_time(ByteReader& reader, WallTime& time) {
  const auto ms = reader.get<std::int64_t>();
  time = WallTime::from_ms(ms);
  return time.ms() == ms;
}

bool get_message(ByteReader& reader, queue::QueuedMessage& message) {
  message.id = MessageId(reader.get<std::uint64_t>());
  const bool timely = get_time(reader, message.created_at);
  message.deliveries = reader.get<std::uint32_t>();
  const auto flags = reader.get<std::uint8_t>();
  message.persisted = (flags & kPersisted) != 0;
  message.broadcast = (flags & kBroadcast) != 0;
  message.submitted_by = as_text(reader.get_sized<std::uint8_t>());
  const auto body = reader.get_sized<std::uint32_t>();
  if (!reader.ok() || !timely || flags > (kPersisted | kBroadcast) || !queue::check(body)) return false;
  message.body = queue::Body(body);
  return true;
}

template <class Id>
void put_ids(ByteWriter& writer, std::span<const Id> ids) {
  writer.put(static_cast<std::uint32_t>(ids.size()));
  for (const auto id : ids) writer.put(id.value());
}

template <class Id>
std::optional<std::vector<Id>> get_ids(ByteReader& reader) {
  const auto count = reader.get<std::uint32_t>();
  auto bytes = ByteReader(reader.get_raw(std::size_t{count} * sizeof(std::uint64_t)));
  if (!reader.at_end()) return std::nullopt;
  std::vector<Id> ids(count);
  for (auto& id : ids) id = Id(bytes.get<std::uint64_t>());
  return ids;
}

}  // namespace

void put_request(Bytes& out, std::uint64_t id, const Submit& request) {
  put_typed(out, id, MethodNumber::kSubmitMessage, [&] { put_submit(out, request); });
}

void put_request(Bytes& out, std::uint64_t id, const SubmitBatch& request) {
  put_typed(out, id, MethodNumber::kSubmitBatch, [&] {
    Parameters parameters(out);
    parameters.value(kMessages).put(static_cast<std::uint32_t>(request.messages.size()));
    for (const auto& one : request.messages) put_submit(out, one);
    parameters.durability(kBatchDurability, request.durability);
  });
}

void put_request(Bytes& out, std::uint64_t id, const Pop& request) {
  put_typed(out, id, MethodNumber::kPopMessage, [&] {
    Parameters parameters(out);
    parameters.kinds(kPopKinds, request.kinds);
    parameters.integer(kPopWait, request.wait_ms);
  });
}

void put_request(Bytes& out, std::uint64_t id, const PopBatch& request) {
  put_typed(out, id, MethodNumber::kPopBatch, [&] {
    Parameters parameters(out);
    parameters.integer(kPopMax, request.max);
    parameters.kinds(kPopBatchKinds, request.kinds);
    parameters.integer(kPopBatchWait, request.wait_ms);
  });
}

void put_request(Bytes& out, std::uint64_t id, const Lease& request) {
  put_typed(out, id, MethodNumber::kLease, [&] {
    Parameters parameters(out);
    parameters.integer(kMax, request.max);
    parameters.integer(kDuration, request.duration_ms);
    parameters.kinds(kLeaseKinds, request.kinds);
    parameters.integer(kLeaseWait, request.wait_ms);
  });
}

void put_request(Bytes& out, std::uint64_t id, const Ack& request) {
  put_typed(out, id, MethodNumber::kAck, [&] { Parameters(out).leases(request.leases); });
}

void put_request(Bytes& out, std::uint64_t id, const Nack& request) {
  put_typed(out, id, MethodNumber::kNack, [&] {
    Parameters parameters(out);
    parameters.leases(request.leases);
    parameters.integer(kDelay, request.delay_ms);
    parameters.text(kError, request.error);
  });
}

void put_request(Bytes& out, std::uint64_t id, const Extend& request) {
  put_typed(out, id, MethodNumber::kExtend, [&] {
    Parameters parameters(out);
    parameters.leases(request.leases);
    parameters.integer(kExtendDuration, request.duration_ms);
  });
}

void put_json_request(Bytes& out, std::uint64_t id, std::uint16_t method, std::string_view params) {
  put_frame(out, {.id = id, .method = method, .flags = kFlagJson}, as_bytes(params));
}

void put_cancel(Bytes& out, std::uint64_t id) { put_frame(out, {.id = id, .kind = Kind::kCancel}, {}); }

void put_body(Bytes& out, const queue::Submitted& submitted) {
  ByteWriter writer(out);
  writer.put(submitted.id.value());
  writer.put(static_cast<std::uint8_t>(submitted.kind));
  writer.put(
      static_cast<std::uint8_t>((submitted.persisted ? kPersisted : 0) | (submitted.duplicate ? kDuplicate : 0)));
}

void put_body(Bytes& out, std::span<const MessageId> ids) {
  ByteWriter writer(out);
  put_ids(writer, ids);
}

void put_body(Bytes& out, const std::optional<queue::QueuedMessage>& taken) {
  ByteWriter writer(out);
  if (taken) put_message(writer, *taken);
}

void put_body(Bytes& out, std::span<const queue::QueuedMessage> taken) {
  ByteWriter writer(out);
  writer.put(static_cast<std::uint32_t>(taken.size()));
  for (const auto& one : taken) put_message(writer, one);
}

void put_body(Bytes& out, std::span<const queue::Leased> leased) {
  ByteWriter writer(out);
  writer.put(static_cast<std::uint32_t>(leased.size()));
  for (const auto& one : leased) {
    writer.put(one.lease.value());
    writer.put(one.deadline.ms());
    put_message(writer, one.message);
  }
}

void put_body(Bytes& out, const queue::LeaseOutcome& outcome) {
  ByteWriter writer(out);
  writer.put(outcome.done);
  put_ids(writer, std::span<const LeaseId>(outcome.lost));
}

void put_body(Bytes& out, const RemoteError& error) {
  ByteWriter writer(out);
  writer.put(error.code);
  writer.put_sized<std::uint32_t>(as_bytes(error.message));
  writer.put_sized<std::uint32_t>(as_bytes(error.data));
}

Result<queue::Submitted> read_submitted(ByteView body) {
  ByteReader reader(body);
  queue::Submitted submitted;
  submitted.id = MessageId(reader.get<std::uint64_t>());
  const auto kind = reader.get<std::uint8_t>();
  const auto flags = reader.get<std::uint8_t>();
  if (!reader.at_end() || kind >= queue::kKindCount || flags > (kPersisted | kDuplicate))
    return not_an_answer("the answer to a submit");
  submitted.kind = static_cast<queue::Kind>(kind);
  submitted.persisted = (flags & kPersisted) != 0;
  submitted.duplicate = (flags & kDuplicate) != 0;
  return submitted;
}

Result<std::vector<MessageId>> read_message_ids(ByteView body) {
  ByteReader reader(body);
  auto ids = get_ids<MessageId>(reader);
  if (!ids) return not_an_answer("a list of message ids");
  return std::move(*ids);
}

Result<std::optional<queue::QueuedMessage>> read_taken(ByteView body) {
  if (body.empty()) return std::optional<queue::QueuedMessage>();
  ByteReader reader(body);
  queue::QueuedMessage message;
  if (!get_message(reader, message) || !reader.at_end()) return not_an_answer("a queued message");
  return std::optional(std::move(message));
}

Result<std::vector<queue::QueuedMessage>> read_taken_batch(ByteView body) {
  ByteReader reader(body);
  auto count = reader.get<std::uint32_t>();
  std::vector<queue::QueuedMessage> all;
  for (; count > 0 && reader.ok(); --count) {
    queue::QueuedMessage message;
    if (!get_message(reader, message)) break;
    all.push_back(std::move(message));
  }
  if (count != 0 || !reader.at_end()) return not_an_answer("a list of queued messages");
  return all;
}

Result<std::vector<queue::Leased>> read_leased(ByteView body) {
  ByteReader reader(body);
  auto count = reader.get<std::uint32_t>();
  std::vector<queue::Leased> all;
  for (; count > 0 && reader.ok(); --count) {
    queue::Leased leased;
    leased.lease = LeaseId(reader.get<std::uint64_t>());
    if (!get_time(reader, leased.deadline) || !get_message(reader, leased.message)) break;
    all.push_back(std::move(leased));
  }
  if (count != 0 || !reader.at_end()) return not_an_answer("a list of leases");
  return all;
}

Result<queue::LeaseOutcome> read_outcome(ByteView body) {
  ByteReader reader(body);
  queue::LeaseOutcome outcome;
  outcome.done = reader.get<std::uint64_t>();
  auto lost = get_ids<LeaseId>(reader);
  if (!lost) return not_an_answer("the outcome of leases");
  outcome.lost = std::move(*lost);
  return outcome;
}

Result<RemoteError> read_error(ByteView body) {
  ByteReader reader(body);
  RemoteError error;
  error.code = reader.get<std::int32_t>();
  error.message = as_text(reader.get_sized<std::uint32_t>());
  error.data = as_text(reader.get_sized<std::uint32_t>());
  if (!reader.at_end()) return not_an_answer("an error");
  return error;
}

}  // namespace qh::rpc::binary
