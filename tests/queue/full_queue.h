// tests/queue/full_queue.h - a queue whose disk is full, with more in memory than the disk has room for.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue_machine.h"

namespace qh::queue {

/// A disk that takes so many bytes more, and is full of durable messages of 1,000 bytes, every second one due. Behind
/// them those that are only in memory, and the disk has no room for: kInMemory of 3,000 bytes.
class FullAndMoreInMemory {
 public:
  static constexpr std::size_t kInMemory = 300;

  FullAndMoreInMemory(std::uint64_t more, Duration lifetime, std::size_t in_memory = kInMemory)
      : m(more, one_size(), at_once()) {
    EXPECT_TRUE(m.start());
    m.run_for(std::chrono::seconds(1));
    m.disk.set_capacity(m.disk.used_bytes() + more);
    auto how = sync_by("a");
    for (;; ++durable) {
      how.not_before = durable % 2 == 0 ? m.world.wall() : m.world.wall() + std::chrono::hours(1000);
      if (!m.submit(gossip("s", std::string(1000, 's')), how)) break;
    }
    due = (durable + 1) / 2;
    how = sync_by("a");
    how.durability = Durability::kAsync;
    if (lifetime != Duration(0)) how.expires_at = m.world.wall() + lifetime;
    for (std::size_t i = 0; i < in_memory; ++i) EXPECT_TRUE(m.submit(gossip("a", std::string(3000, 'a')), how));
  }

  ::testing::AssertionResult take() {
    const auto taken = m.take();
    if (!taken) return ::testing::AssertionFailure() << due << " left: " << taken.error().to_string();
    if (!*taken) return ::testing::AssertionFailure() << due << " left, and nothing comes";
    --due, --durable;
    return ::testing::AssertionSuccess();
  }
  ::testing::AssertionResult takes_all_that_is_due() {
    while (due > 0) {
      if (auto taken = take(); !taken) return taken;
    }
    return ::testing::AssertionSuccess();
  }

  QueueMachine m;
  std::size_t durable = 0, due = 0;

 private:
  static Options one_size() {
    auto options = limit_options();
    options.segment_bytes_min = options.segment_bytes_max = 256U << 10;
    options.max_batch_bytes = 2U << 20;
    return options;
  }
};

}  // namespace qh::queue
