// The bytes of the binary RPC, fixed by files, and what its document says of them. New bytes need a new version and
// new files: QH_WRITE_GOLDEN=1 writes those that are missing, and never one that is there.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include <gtest/gtest.h>

#include "rpc/binary_body.h"
#include "rpc/codes.h"
#include "rpc/method.h"

namespace qh::rpc::binary {
namespace {

using queue::LeaseId;
using queue::MessageId;

constexpr const char* kDocument = "docs/formats/rpc-binary.md";

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path << " is missing";
  return {std::istreambuf_iterator<char>(file), {}};
}

void expect_golden(const std::string& name, ByteView bytes) {
  const auto path = "tests/golden/rpc_binary_v1_" + name + ".hex";
  const auto text = to_hex(bytes) + "\n";
  if (std::getenv("QH_WRITE_GOLDEN") != nullptr && !std::filesystem::exists(path)) std::ofstream(path) << text;
  EXPECT_EQ(read_text(path), text) << path;
  EXPECT_NE(read_text(kDocument).find("\n" + text), std::string::npos) << name << " is not in " << kDocument;
}

/// A frame whose body is read back to the same value and written again to the same bytes.
template <class Value, class Read>
void expect_answer(const std::string& name, std::uint16_t method, const Value& value, Read read,
                   Kind kind = Kind::kResult) {
  Bytes out, again;
  FrameWriter frame(out, {.id = 7, .method = method, .kind = kind});
  put_body(out, value);
  frame.finish();
  expect_golden(name, out);
  const auto parsed = parse_frame(out, From::kServer);
  ASSERT_EQ(parsed.state, Frame::State::kFrame);
  const auto back = read(parsed.body);
  ASSERT_TRUE(back);
  put_body(again, *back);
  EXPECT_EQ(to_hex(again), to_hex(parsed.body));
}

template <class Request>
void expect_request(const std::string& name, const Request& request) {
  Bytes out;
  put_request(out, 7, request);
  expect_golden(name, out);
}

Bytes gossip() { return queue::encode(queue::Gossip{"test", {std::byte{1}, std::byte{2}, std::byte{3}}}).value(); }

queue::QueuedMessage queued() {
  queue::QueuedMessage message;
  message.id = MessageId(5);
  message.body = queue::Body(gossip());
  message.created_at = WallTime::from_ms(1'698'509'120'123);
  message.submitted_by = "alice";
  message.persisted = true;
  message.deliveries = 1;
  return message;
}

TEST(RpcBinaryV1, PrefaceAndCancel) {
  Bytes preface, cancel;
  put_preface(preface);
  expect_golden("preface", preface);
  put_cancel(cancel, 7);
  expect_golden("cancel", cancel);
}

TEST(RpcBinaryV1, Requests) {
  const auto message = gossip();
  const LeaseId leases[] = {LeaseId(1), LeaseId(258)};
  expect_request("submit", Submit{.message = message, .durability = queue::Durability::kSync});
  expect_request("submit_full", Submit{.message = message,
                                       .durability = queue::Durability::kAsync,
                                       .idempotency_key = "key",
                                       .not_before_ms = 1'698'509'120'000,
                                       .expires_at_ms = 1'698'509'121'000,
                                       .wait_queued = true,
                                       .timeout_ms = 500});
  const Submit batch[] = {{.message = message}, {.message = message, .idempotency_key = "key"}};
  expect_request("submit_batch", SubmitBatch{.messages = batch, .durability = queue::Durability::kSync});
  expect_request("pop", Pop{});
  expect_request("pop_wait", Pop{.kinds = queue::KindMask::of(queue::Kind::kGossip), .wait_ms = 1'000});
  expect_request("pop_batch", PopBatch{.max = 10, .wait_ms = 1'000});
  expect_request("lease", Lease{.max = 10, .duration_ms = 5'000});
  expect_request("ack", Ack{.leases = leases});
  expect_request("nack", Nack{.leases = leases, .delay_ms = 1'000, .error = "no"});
  expect_request("extend", Extend{.leases = leases, .duration_ms = 30'000});
  Bytes json;
  put_json_request(json, 7, find_method("qssh_find")->number, R"({"message_id":1})");
  expect_golden("json_request", json);
}

TEST(RpcBinaryV1, Answers) {
  expect_answer("submitted", 1, queue::Submitted{MessageId(5), queue::Kind::kGossip, true, false}, read_submitted);
  expect_answer("submitted_batch", 2, std::vector{MessageId(5), MessageId(6)}, read_message_ids);
  expect_answer("popped", 3, std::optional(queued()), read_taken);
  expect_answer("popped_nothing", 3, std::optional<queue::QueuedMessage>(), read_taken);
  std::vector<queue::QueuedMessage> batch(2);
  for (auto& one : batch) one = queued();
  expect_answer("popped_batch", 26, batch, read_taken_batch);
  std::vector<queue::Leased> leased(1);
  leased[0] = {LeaseId(9), WallTime::from_ms(1'698'509'150'123), queued()};
  expect_answer("leased", 4, leased, read_leased);
  expect_answer("outcome", 5, queue::LeaseOutcome{1, {LeaseId(258)}}, read_outcome);
  expect_answer("error", 1,
                RemoteError{-32'001, "full", R"({"reason":"QueueFull","bound":"max_depth","retry_after_ms":10})"},
                read_error, Kind::kError);
}

/// A reader that took it would leave no version of these bytes in which a cancel's method says something.
TEST(RpcBinaryV1, ACancelWithAMethodIsRefused) {
  Bytes out;
  put_frame(out, {.id = 7, .method = 3, .kind = Kind::kCancel}, {});
  expect_golden("cancel_refused", out);
  EXPECT_EQ(parse_frame(out, From::kClient).state, Frame::State::kBroken);
}

/// An answer to nobody's request in particular.
TEST(RpcBinaryV1, WhatAFullPortSays) {
  Bytes out;
  FrameWriter frame(out, {.kind = Kind::kError});
  put_body(out, RemoteError{static_cast<int>(Code::kBusy), "too many connections", R"({"reason":"Busy"})"});
  frame.finish();
  expect_golden("too_many_connections", out);
  EXPECT_EQ(parse_frame(out, From::kServer).state, Frame::State::kFrame);
}

TEST(RpcBinaryV1, TheNumbersOfTheMethodsAreThoseOfTheDocumentAndFindThem) {
  const auto document = read_text(kDocument);
  std::set<std::uint16_t> numbers;
  for (const auto& method : methods()) {
    EXPECT_TRUE(numbers.insert(method.number).second) << method.name;
    EXPECT_EQ(find_method(method.number), &method);
    const auto row = "\n| " + std::to_string(method.number) + " | `" + std::string(method.name) + "` |" +
                     (method.typed ? " typed" : "") + " |\n";
    EXPECT_NE(document.find(row), std::string::npos) << row;
  }
  EXPECT_EQ(find_method(std::uint16_t{0}), nullptr);
}

}  // namespace
}  // namespace qh::rpc::binary
