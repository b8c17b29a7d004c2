// The bytes of the log and of canonical bodies, fixed by files: new bytes need a new version and new files.
// QH_WRITE_GOLDEN=1 writes the files that are missing, and never one that is there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "queue/log_format.h"
#include "queue/log_records.h"
#include "queue/message.h"

namespace qh::queue {
namespace {

using wal::RecordType;

/// Hex of the bytes, 32 a line.
std::string hex_lines(ByteView bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 32) {
    text += to_hex(bytes.subspan(at, std::min<std::size_t>(32, bytes.size() - at))) + "\n";
  }
  return text;
}

void expect_golden(const std::string& name, ByteView bytes) {
  const auto path = "tests/golden/" + name + ".hex";
  const auto text = hex_lines(bytes);
  if (std::getenv("QH_WRITE_GOLDEN") != nullptr && !std::filesystem::exists(path)) std::ofstream(path) << text;
  std::ifstream file(path);
  ASSERT_TRUE(file) << path << " is missing";
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text) << path;
  if (bytes.size() == wal::kBlockBytes) return;
  std::ifstream document(name.starts_with("wal") ? "docs/formats/wal.md" : "docs/formats/message.md");
  const std::string words(std::istreambuf_iterator<char>(document), {});
  EXPECT_NE(words.find("\n" + to_hex(bytes) + "\n"), std::string::npos) << name << " is not in its document";
}

constexpr std::uint64_t kLife = 0x1122334455667788;

wal::QueueId queue_id() {
  wal::QueueId id;
  for (std::size_t i = 0; i < id.size(); ++i) id[i] = static_cast<std::byte>(i);
  return id;
}

wal::QueueState state() {
  wal::QueueState state;
  state.next_message_id = 1025;
  state.next_lease_id = 2049;
  state.head_segment = 3;
  state.paused_kinds = 0x10;
  state.counters.submitted_sync = 7;
  state.counters.duplicates = 9;
  return state;
}

Bytes gossip_body() { return encode(Message(Gossip{"test", {std::byte{1}, std::byte{2}, std::byte{3}}})).value(); }

template <class Fill>
Bytes record(RecordType type, std::uint64_t seq, Fill fill) {
  Bytes out;
  const auto at = wal::begin_record(out, type);
  fill(out);
  wal::end_record(out, at);
  wal::finish_record(out, seq, kLife);
  return out;
}

wal::Put put() {
  wal::Put put;
  put.id = MessageId(42);
  put.created_at = {1'698'509'120'000'000'001};
  put.not_before_ms = 5;
  put.expires_at_ms = 6;
  put.deliveries = 2;
  put.group_left = 1;
  put.submitted_by = "alice";
  put.key = "k";
  return put;
}

TEST(WalV1, HeaderIdentityAndMark) {
  Bytes block(wal::kBlockBytes);
  wal::SegmentHeader header;
  header.index = 4;
  header.bytes = 4U << 20;
  header.life = kLife;
  header.first_seq = 100;
  header.durable_seq = 99;
  header.queue_id = queue_id();
  header.created_at = {1'698'509'120'000'000'001};
  header.queue_name = "alice";
  header.state = state();
  wal::encode_header(header, block);
  expect_golden("wal_v1_header", block);
  wal::encode_identity({queue_id(), "alice"}, block);
  expect_golden("wal_v1_identity", block);
  wal::encode_mark({3, 100, 4, queue_id()}, block);
  expect_golden("wal_v1_mark", block);
}

TEST(WalV1, Records) {
  const auto body = gossip_body();
  auto first = put();
  first.body = body;
  expect_golden("wal_v1_put", record(RecordType::kPut, 100, [&](Bytes& out) { wal::encode(first, out); }));
  auto dead = first;
  dead.carried = true;
  dead.death = wal::Put::Death{DeadReason::kExpired, 77};
  dead.last_error = "late";
  expect_golden("wal_v1_put_dead", record(RecordType::kPut, 101, [&](Bytes& out) { wal::encode(dead, out); }));
  const auto id = [](Bytes& out) { wal::encode(MessageId(42), out); };
  expect_golden("wal_v1_take", record(RecordType::kTake, 102, id));
  expect_golden("wal_v1_hold", record(RecordType::kHold, 103, id));
  expect_golden("wal_v1_ack", record(RecordType::kAck, 104, id));
  expect_golden("wal_v1_revive", record(RecordType::kRevive, 105, id));
  expect_golden("wal_v1_remove", record(RecordType::kRemove, 106, id));
  expect_golden("wal_v1_evict", record(RecordType::kEvict, 112, id));
  expect_golden("wal_v1_lease", record(RecordType::kLease, 107, [](Bytes& out) {
                  wal::encode(wal::Lease{MessageId(42), LeaseId(9), 3}, out);
                }));
  expect_golden("wal_v1_nack", record(RecordType::kNack, 108, [](Bytes& out) {
                  wal::encode(wal::Nack{MessageId(42), 3, 88, "no"}, out);
                }));
  expect_golden("wal_v1_return", record(RecordType::kReturn, 109, [](Bytes& out) {
                  wal::encode(wal::Return{MessageId(42), 2}, out);
                }));
  expect_golden("wal_v1_dead", record(RecordType::kDead, 110, [](Bytes& out) {
                  wal::encode(wal::Dead{MessageId(42), DeadReason::kMaxDeliveries, 99, "no"}, out);
                }));
  expect_golden("wal_v1_key", record(RecordType::kKey, 111, [](Bytes& out) {
                  wal::encode(wal::Key{MessageId(42), {1000}, "k", Kind::kGossip}, out);
                }));
  expect_golden("wal_v1_state", record(RecordType::kState, 112, [](Bytes& out) { wal::encode_state(state(), out); }));
  expect_golden("wal_v1_mark_record", record(RecordType::kMark, 113, [](Bytes&) {}));
  expect_golden("wal_v1_seal", record(RecordType::kSeal, 114, [](Bytes& out) { wal::encode_seal({5, 0x99}, out); }));
  Bytes batch(wal::kBatchRecordBytes);
  wal::write_batch_record(batch, 100, {kLife, 200, 2, 99});
  expect_golden("wal_v1_batch", batch);
}

TEST(MessageV1, Bodies) {
  Hash32 hash;
  for (std::size_t i = 0; i < hash.size(); ++i) hash[i] = static_cast<std::byte>(i);
  const Bytes bytes{std::byte{1}, std::byte{2}, std::byte{3}};
  const auto one = [](const std::string& name, const Message& message) {
    const auto body = encode(message).value();
    expect_golden("message_v1_" + name, body);
    EXPECT_EQ(decode(body).value(), message);
  };
  one("block_import", BlockImport{hash, 5, 1'698'509'120});
  one("vote", Vote{"alice", hash, bytes, 5});
  one("vote_without_number", Vote{"alice", hash, bytes, {}});
  one("transaction", Transaction{hash, bytes, 1'698'509'120});
  one("entropy_share", EntropyShare{"qrng0", bytes, 0.025});
  one("entropy_share_unknown", EntropyShare{"qrng0", bytes, {}});
  one("gossip", Gossip{"test", bytes});
  one("telemetry", Telemetry{"fan", bytes});
}

}  // namespace
}  // namespace qh::queue
