// "What must hold" 7, that it is right: a million messages are restored, each as it was, in their order, in bounded
// memory. How quickly is measured, not tested, since a test shares its machine: ./dev bench queue ("restore"), with
// its figures in docs/performance.md; bytes a message are in engine_turns_test.cpp.
#include <malloc.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include <gtest/gtest.h>

#include "base/file_storage.h"
#include "crypto/random.h"
#include "queue/engine.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

namespace qh::queue {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMessages = 1'000'000;
constexpr std::uint32_t kBatch = 10'000;  // few syncs, on a disk that others use as well

/// Of every four: one that is Critical, two Normal ones, one Low. Each says its number.
Message numbered(std::uint64_t number) {
  Bytes data(8);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(number >> (8 * i) & 0xff);
  if (number % 4 == 0) return Vote{"v", {}, data, number};
  if (number % 4 == 3) return Telemetry{"t", data};
  return Gossip{"g", data};
}

/// An engine on a directory, inline: what is asked is answered, or comes by pumping.
class OnDisk {
 public:
  explicit OnDisk(const fs::path& directory) {
    FileStorage::Options how;
    how.placement = FileStorage::Placement::kInline;
    storage_ = std::move(FileStorage::open(directory, std::move(how)).value());
    Options options;
    options.name = "million";
    options.max_depth = 2 * kMessages;
    options.max_batch_messages = kBatch;
    engine =
        std::make_unique<Engine>(*storage_, clock_, rng_, options, Engine::Hooks{[this] { pump_wanted_ = true; }, {}});
    report = *answer<RecoveryReport>([&](auto done) { engine->open(std::move(done)); });
  }
  ~OnDisk() {
    storage_.reset();  // as a kill leaves it
    engine.reset();
  }
  template <class T, class Start>
  Result<T> answer(Start start) {
    std::optional<Result<T>> result;
    start([&](Result<T> got) { result.emplace(std::move(got)); });
    while (!result) {
      while (std::exchange(pump_wanted_, false)) engine->pump();
      if (!result && clock_.mono() >= engine->next_wakeup()) engine->tick();
    }
    return std::move(*result);
  }

 private:
  SystemClock clock_;
  crypto::SystemRng rng_;
  std::unique_ptr<FileStorage> storage_;
  bool pump_wanted_ = false;

 public:
  std::unique_ptr<Engine> engine;
  RecoveryReport report;
};

class WhatMustHold7 : public ::testing::Test {
 protected:
  WhatMustHold7() : directory_(fs::temp_directory_path() / ("qh-million-" + std::to_string(::getpid()))) {
    fs::create_directory(directory_);
  }
  ~WhatMustHold7() override { fs::remove_all(directory_); }

  void submit_all() {
    OnDisk queue(directory_);
    for (std::uint64_t number = 1; number <= kMessages;) {
      std::vector<Submission> batch;
      for (std::uint64_t i = 0; i < kBatch; ++i, ++number) {
        batch.push_back({encode(numbered(number)).value(), {}});
        batch.back().options.durability = Durability::kSync;
        batch.back().options.submitted_by = "alice";
      }
      const auto done = queue.answer<std::vector<Submitted>>(
          [&](auto answer) { queue.engine->submit_batch(std::move(batch), std::move(answer)); });
      ASSERT_TRUE(done) << done.error().to_string();
      ASSERT_EQ(done->back().id.value(), number - 1);
    }
  }

  fs::path directory_;
};

std::uint64_t allocated() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::uint64_t id_of(const std::vector<QueuedMessage>& messages) {
  return messages.empty() ? 0 : messages[0].id.value();
}

TEST_F(WhatMustHold7, AMillionMessagesAreRestoredAsTheyWere) {
  submit_all();
  ASSERT_FALSE(HasFailure());
  ::malloc_trim(0);
  const auto before = allocated();
  OnDisk queue(directory_);
  EXPECT_EQ(queue.report.messages, kMessages);
  EXPECT_EQ(queue.engine->depth().total(), kMessages);
  [[maybe_unused]] const auto grown = allocated() - before;

  std::uint64_t next = 1, body_bytes = 0, wrong = 0;
  queue.engine->each([&](const Found& found) {
    wrong += found.state != MessageState::kReady || found.message->id.value() != next ||
             found.message->message() != numbered(next) || found.message->submitted_by != "alice";
    body_bytes += found.message->body.view().size();
    ++next;
  });
  EXPECT_EQ(next, kMessages + 1);
  EXPECT_EQ(wrong, 0U);

  // In the order of the hand-out: Votes by number, then Gossip, then Telemetry.
  const auto behind = [&](Priority priority, std::uint64_t id) {
    return id_of(queue.engine->peek(1, KindMask::all(), std::pair(priority, MessageId(id))));
  };
  EXPECT_EQ(id_of(queue.engine->peek(1)), 4U);
  EXPECT_EQ(behind(Priority::kCritical, 4), 8U);
  EXPECT_EQ(behind(Priority::kCritical, kMessages), 1U);
  EXPECT_EQ(behind(Priority::kNormal, kMessages), 3U);
  EXPECT_EQ(behind(Priority::kLow, kMessages - 5), kMessages - 1);
  EXPECT_EQ(behind(Priority::kLow, kMessages - 1), 0U) << "that was the last";

  // Sanitizers put an allocator of their own in the place of the one that was asked.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
  EXPECT_LE(grown, body_bytes + 200 * kMessages + (16U << 20)) << "16 MiB are the log's own buffers";
  EXPECT_GE(grown, body_bytes) << "the measurement is no good";
#endif
}

}  // namespace
}  // namespace qh::queue
