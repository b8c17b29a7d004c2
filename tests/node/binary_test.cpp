// The binary RPC of the built node: what must survive, and what must end.

#include <csignal>
#include <functional>

#include <gtest/gtest.h>
#include <boost/json/array.hpp>

#include "binary_client.h"
#include "http_client.h"
#include "node_process.h"
#include "queue/message.h"
#include "rpc/binary_link.h"
#include "rpc/codes.h"

namespace qh::test {
namespace {

using namespace rpc::binary;  // NOLINT(google-build-using-namespace): this file is about nothing else

const std::vector<std::string> kBinary{"--binary-port", "9955"};

Bytes gossip(std::string_view topic, std::size_t bytes = 3) {
  return queue::encode(queue::Gossip{std::string(topic), Bytes(bytes, std::byte{7})}).value();
}

Submit durable(const Bytes& message) { return {.message = message, .durability = queue::Durability::kSync}; }

std::string reason_of(const std::optional<BinaryAnswer>& answer) {
  if (!answer || answer->ok()) return "no error";
  const auto error = read_error(answer->body);
  return error ? std::string(error->data) : "no error that can be read";
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

void await_waiters(DevNode& node, int count) {
  HttpClient client(node.port());
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (client.call(rpc("qssh_getMetrics")).at("result").at("waiters") != count) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "there are never " << count;
  }
}

TEST(Binary, EachValidatorHasItsOwnPortAndTheNodeTellsThem) {
  DevNode node(kBinary);
  for (unsigned i = 0; i < 3; ++i) {
    BinaryClient client(node.binary_port(i));
    const auto message = gossip("mine");
    const auto answer = client.ask(durable(message));
    ASSERT_TRUE(answer && answer->ok());
    EXPECT_EQ(read_submitted(answer->body)->id.value(), 1U);
    EXPECT_TRUE(read_submitted(answer->body)->persisted);
  }
  HttpClient http(node.port());
  const auto list = http.call(rpc("node_listValidators")).at("result").as_array();
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(list.at(i).at("binary_port"), node.binary_port(i));
  const auto added = http.call(rpc("node_addValidator", R"({"name":"dave"})")).at("result");
  EXPECT_EQ(added.at("binary_port"), node.binary_port(3));
  const auto popped = http.call(rpc("qssh_popMessage")).at("result");
  EXPECT_EQ(popped.at("submitted_by"), "alice");
}

TEST(Binary, WithoutTheSettingThereIsNoPort) {
  DevNode node;
  HttpClient client(node.binary_port());
  EXPECT_FALSE(client.connected());
  HttpClient http(node.port());
  EXPECT_TRUE(http.call(rpc("node_listValidators")).at("result").as_array().at(0).at("binary_port").is_null());
}

TEST(Binary, WhatWasAcknowledgedSurvivesAKillAndIsHandedOutOnce) {
  TempDir data;
  constexpr int kMessages = 100;
  {
    DevNode node(kBinary, data.path());
    BinaryClient client(node.binary_port());
    for (int i = 0; i < kMessages; ++i) {
      const auto message = gossip(std::to_string(i));
      ASSERT_TRUE(client.ask(durable(message))->ok());
    }
    const auto first = read_taken(client.ask(Pop{})->body);
    ASSERT_TRUE(first && *first);
    EXPECT_EQ((*first)->id.value(), 1U);
    node.process().send_signal(SIGKILL);
    EXPECT_EQ(node.process().wait(), 128 + SIGKILL);
  }
  DevNode node(kBinary, data.path());
  BinaryClient client(node.binary_port());
  for (int i = 1; i < kMessages; ++i) {
    const auto taken = read_taken(client.ask(Pop{})->body);
    ASSERT_TRUE(taken && *taken) << i;
    EXPECT_EQ((*taken)->message(), queue::Message(queue::Gossip{std::to_string(i), Bytes(3, std::byte{7})}));
  }
  EXPECT_TRUE(client.ask(Pop{})->body.empty());
}

TEST(Binary, ThousandsOfRequestsMayBeSentBeforeOneAnswerIsRead) {
  DevNode node(kBinary);
  BinaryClient client(node.binary_port());
  const auto message = gossip("many");
  constexpr std::uint64_t kRequests = 3'000;  // more than may be under way
  Bytes all;
  for (std::uint64_t id = 1; id <= kRequests; ++id) put_request(all, id, durable(message));
  ASSERT_TRUE(client.send(all));
  for (std::uint64_t id = 1; id <= kRequests; ++id) {
    const auto answer = client.answer();
    ASSERT_TRUE(answer && answer->ok()) << id;
    EXPECT_EQ(answer->header.id, id);
  }
}

TEST(Binary, LargeBodiesGoBothWaysAndWhoDoesNotReadStopsNobody) {
  DevNode node(kBinary);
  BinaryClient slow(node.binary_port()), other(node.binary_port());
  const auto large = gossip("large", 1'000'000);
  ASSERT_TRUE(slow.ask(durable(large))->ok());
  constexpr std::uint64_t kPeeks = 50;  // of 2 MB each
  Bytes peeks;
  for (std::uint64_t id = 1; id <= kPeeks; ++id) put_json_request(peeks, id, 8, R"({"count":1})");
  ASSERT_TRUE(slow.send(peeks));
  const auto small = gossip("small");
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(other.ask(durable(small))->ok());
  for (std::uint64_t id = 1; id <= kPeeks; ++id) {
    const auto answer = slow.answer();
    ASSERT_TRUE(answer && answer->ok()) << id;
    EXPECT_EQ(answer->header.id, id);
    EXPECT_GT(answer->body.size(), 2'000'000U);
  }
  const auto taken = read_taken(slow.ask(Pop{})->body);
  ASSERT_TRUE(taken && *taken);
  EXPECT_EQ(Bytes((*taken)->body.view().begin(), (*taken)->body.view().end()), large);
}

TEST(Binary, WhoLeavesWhileItWaitsIsHandedNothing) {
  DevNode node(kBinary);
  Bytes wait;
  put_request(wait, 1, Pop{.wait_ms = 60'000});
  {
    BinaryClient leaving(node.binary_port());
    ASSERT_TRUE(leaving.send(wait));
    await_waiters(node, 1);
  }
  await_waiters(node, 0);
  BinaryClient half(node.binary_port());
  ASSERT_TRUE(half.send(wait));
  await_waiters(node, 1);
  half.end_sending();
  EXPECT_TRUE(has(reason_of(half.answer()), "Timeout"));
  EXPECT_EQ(half.rest(), "");
  BinaryClient client(node.binary_port());
  const auto message = gossip("kept");
  ASSERT_TRUE(client.ask(durable(message))->ok());
  EXPECT_FALSE(client.ask(Pop{})->body.empty());
}

/// Its next request stands without a place when it goes: the end is seen all the same, and neither that request nor the
/// waits are handed anything.
TEST(Binary, WhoLeavesWithAsManyWaitsAsThereMayBeIsHandedNothing) {
  DevNode node(kBinary);
  const auto vote = queue::encode(queue::Vote{.validator = "v"}).value();
  const auto kept = gossip("kept");
  ASSERT_TRUE(BinaryClient(node.binary_port()).ask(durable(kept))->ok());
  Bytes waits, next;
  for (std::uint64_t id = 1; id <= rpc::BinaryLink::kOpenCallsMax; ++id)
    put_request(waits, id, Pop{.kinds = queue::KindMask::of(queue::Kind::kVote), .wait_ms = 60'000});
  put_request(next, rpc::BinaryLink::kOpenCallsMax + 1, Pop{});
  for (const bool by_reset : {false, true}) {
    {
      BinaryClient leaving(node.binary_port());
      ASSERT_TRUE(leaving.send(waits));
      await_waiters(node, static_cast<int>(rpc::BinaryLink::kOpenCallsMax));
      ASSERT_TRUE(leaving.send(next));
      if (by_reset) leaving.reset_at_the_end();
    }
    await_waiters(node, 0);
    BinaryClient client(node.binary_port());
    ASSERT_TRUE(client.ask(durable(vote))->ok());
    const auto taken = read_taken(client.ask(Pop{})->body);
    ASSERT_TRUE(taken && *taken);
    EXPECT_EQ((*taken)->kind(), queue::Kind::kVote);
  }
  EXPECT_FALSE(BinaryClient(node.binary_port()).ask(Pop{})->body.empty());
}

TEST(Binary, AWaitIsAnsweredWhenTheNodeStopsAndTheConnectionEnds) {
  DevNode node(kBinary);
  BinaryClient waiting(node.binary_port()), idle(node.binary_port());
  Bytes wait;
  put_request(wait, 1, Pop{.wait_ms = 60'000});
  ASSERT_TRUE(waiting.send(wait));
  await_waiters(node, 1);
  EXPECT_EQ(node.process().stop(), 0);
  EXPECT_TRUE(has(reason_of(waiting.answer()), "ShuttingDown"));
  EXPECT_EQ(waiting.rest(), "");
  EXPECT_EQ(idle.rest(), "");
}

TEST(Binary, WhatCannotBeUnderstoodIsToldSoAndClosed) {
  DevNode node(kBinary);
  BinaryClient http(node.binary_port(), BinaryClient::Greets::kNo);
  ASSERT_TRUE(http.send(as_bytes("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")));
  const auto word = http.rest();
  ASSERT_TRUE(word);
  EXPECT_TRUE(word->starts_with("HTTP/1.1 400 ")) << *word;

  BinaryClient newer(node.binary_port(), BinaryClient::Greets::kNo);
  Bytes preface, ours;
  put_preface(preface, kVersion + 1);
  put_preface(ours);
  ASSERT_TRUE(newer.send(preface));
  EXPECT_EQ(newer.rest(), std::string(as_text(ours)));

  BinaryClient broken(node.binary_port());
  Bytes frame;
  put_request(frame, 9, Pop{});
  frame[15] = std::byte{0xff};
  ASSERT_TRUE(broken.send(frame));
  EXPECT_TRUE(has(reason_of(broken.answer()), "InvalidRequest"));
  EXPECT_EQ(broken.rest(), "");
}

TEST(Binary, WhatIsUnderWayInFrontOfABrokenFrameIsAnswered) {
  DevNode node(kBinary);
  BinaryClient client(node.binary_port());
  const auto message = gossip("t");
  constexpr std::uint64_t kSubmits = 5;
  Bytes all;
  put_request(all, kSubmits + 1, Pop{.kinds = queue::KindMask::of(queue::Kind::kVote), .wait_ms = 60'000});
  for (std::uint64_t id = 1; id <= kSubmits; ++id) put_request(all, id, durable(message));
  put_frame(all, {.id = 9, .method = 3, .kind = Kind::kCancel}, {});
  ASSERT_TRUE(client.send(all));
  EXPECT_TRUE(has(reason_of(client.answer()), "Timeout"));
  for (std::uint64_t id = 1; id <= kSubmits; ++id) {
    const auto answer = client.answer();
    EXPECT_TRUE(answer && answer->ok()) << id;
  }
  EXPECT_TRUE(has(reason_of(client.answer()), "InvalidRequest"));
  EXPECT_EQ(client.rest(), "");
}

TEST(Binary, APortInUseIsToldWithWhatToDo) {
  DevNode node(kBinary);
  TempDir data;
  const auto offset = node.binary_port() - 9955;
  NodeProcess second({"--validator", "--name", "zoe", "--qssh-queue-port", std::to_string(9944 + offset + 5),
                      "--binary-port", std::to_string(9955 + offset), "--metrics-port", "0", "--web-port", "0",
                      "--data-dir", data.path().string()});
  EXPECT_EQ(second.wait(), 1);
  EXPECT_TRUE(has(second.err(), "--binary-port PORT")) << second.err();
}

}  // namespace
}  // namespace qh::test
