// A durable system call of the running node fails at the k-th time, for each k up to 50: whatever was acknowledged
// is there after a restart, and what was popped is not.
#include <array>
#include <csignal>
#include <optional>
#include <set>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "http_client.h"
#include "node_process.h"

namespace qh::test {
namespace {

constexpr std::string_view kDurableCalls = "pwrite64,pwritev2,fdatasync,fsync";

/// EINTR: where it may come from a sync it is as final as the others.
constexpr std::array<const char*, 3> kErrors{"ENOSPC", "EIO", "EINTR"};

struct Told {
  std::set<std::uint64_t> acknowledged, popped;
  bool refused = false;
  bool pop_is_open = false;  ///< one was asked for, and did not say what became of it

  /// The message that the open pop was to have. A hand-out whose sync failed may be on the disk: it is gone then.
  std::optional<std::uint64_t> may_be_gone() const {
    if (!pop_is_open) return std::nullopt;
    for (const auto id : acknowledged) {
      if (!popped.contains(id)) return id;
    }
    return std::nullopt;
  }
};

std::vector<std::string> arguments(unsigned offset, const TempDir& data) {
  return {"--validator",       "--name", "alice", "--port-offset", std::to_string(offset), "--data-dir",
          data.path().string()};
}

/// Durable submits with a pop now and then, until the node refuses or ends.
Told work(std::uint16_t port) {
  Told told;
  HttpClient client(port);
  for (int i = 0; i < 30; ++i) {
    const bool pop = i % 4 == 3;
    client.send(pop ? post(rpc("qssh_popMessage"))
                    : post(rpc("qssh_submitMessage", R"({"Vote":{"validator":"v","block_hash":"0x)" +
                                                         std::string(64, '0') + R"(","signature":[]}})")));
    const auto reply = client.reply();
    told.pop_is_open = pop;
    if (!reply) return told;
    const auto json = reply->json().as_object();
    if (!json.contains("result")) {
      told.refused = true;
      return told;
    }
    if (!pop)
      told.acknowledged.insert(json.at("result").at("message_id").to_number<std::uint64_t>());
    else if (!json.at("result").is_null())
      told.popped.insert(json.at("result").at("message_id").to_number<std::uint64_t>());
    told.pop_is_open = false;
  }
  return told;
}

std::set<std::uint64_t> present(std::uint16_t port) {
  HttpClient client(port);
  std::set<std::uint64_t> ids;
  const auto reply = client.call(rpc("qssh_peek", R"({"count":100})"));
  for (const auto& message : reply.as_object().at("result").as_array())
    ids.insert(message.at("message_id").to_number<std::uint64_t>());
  return ids;
}

TEST(WhatMustHold, NoFailingSystemCallLosesWhatWasAcknowledged) {
  unsigned struck = 0;
  for (unsigned k = 1; k <= 50; ++k) {
    SCOPED_TRACE("k = " + std::to_string(k));
    const TempDir data;
    const unsigned offset = free_port_offset(1);
    const auto port = static_cast<std::uint16_t>(9944 + offset);
    Told told;
    {
      NodeProcess::Options how;
      const std::string inject = std::string("inject=") + std::string(kDurableCalls) +
                                 ":error=" + kErrors[k % kErrors.size()] + ":when=" + std::to_string(k);
      // -D: the node is our child, the tracer its sibling.
      how.wrapper = {"/usr/bin/strace",
                     "-D",
                     "-f",
                     "-qqq",
                     "-o",
                     "/dev/null",
                     "-e",
                     std::string("trace=") + std::string(kDurableCalls),
                     "-e",
                     inject};
      NodeProcess node(arguments(offset, data), how);
      if (node.says("alice: ready on port"))
        told = work(port);
      else
        ++struck;  // it could not start, said so, and ended
      node.send_signal(SIGKILL);
      node.wait();
    }
    struck += told.refused;
    NodeProcess node(arguments(offset, data));
    ASSERT_TRUE(node.says("alice: ready on port")) << node.err();
    const auto there = present(port);
    for (const auto id : told.acknowledged) {
      if (told.may_be_gone() == id && !there.contains(id)) continue;
      EXPECT_NE(there.contains(id), told.popped.contains(id))
          << "message " << id << (told.popped.contains(id) ? " was popped and is back" : " is lost");
    }
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(struck, 10U) << "the calls that were to fail were not reached";
}

}  // namespace
}  // namespace qh::test
