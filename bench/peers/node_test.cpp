// bench/peers/node_test.cpp - both generators and the node as it is: what one side changes, the other has to follow.
#include <gtest/gtest.h>

#include "bench/peers/generator/load.h"
#include "tests/node/node_process.h"

namespace qh::bench {
namespace {

constexpr std::uint64_t kMessages = 320;

/// Ends by its number of messages; the time is a deadline.
Plan plan(const std::string& protocol, std::uint16_t port, unsigned batch, Work work) {
  return {.protocol = protocol,
          .port = port,
          .clients = 4,
          .batch = batch,
          .work = work,
          .seconds = 60,
          .messages_max = kMessages};
}

void expect_puts_and_takes(const std::string& protocol, std::uint16_t port) {
  for (const auto generator : {blocking_clients, event_loop}) {
    for (const unsigned batch : {1U, 16U}) {
      for (const auto work : {Work::kPut, Work::kTake}) {
        const auto seen = generator(plan(protocol, port, batch, work));
        ASSERT_TRUE(seen) << seen.error().to_string();
        EXPECT_EQ(seen->samples.size() * batch, kMessages);
      }
      const auto nothing_left = generator(plan(protocol, port, batch, Work::kTake));
      EXPECT_FALSE(nothing_left) << "more messages than were put";
    }
  }
}

TEST(OurNode, TakesWhatTheGeneratorsPut) {
  constexpr std::uint16_t kBinaryPort = 9955;  // moved as all others
  const test::DevNode node({"--binary-port", std::to_string(kBinaryPort)});
  expect_puts_and_takes("http", node.port());
  expect_puts_and_takes("binary", static_cast<std::uint16_t>(kBinaryPort + node.port() - 9944));
}

}  // namespace
}  // namespace qh::bench
