// Batches in flight on real files: several durable writes run at the same time, and only when that is asked for.
#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include <unistd.h>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "queue/engine.h"
#include "queue/log_storage.h"

namespace qh::queue {
namespace {

/// FileStorage asks it for the time before and after each durable write, on the thread that writes. It holds a write
/// up until as many as are expected have begun, so that how many there are does not hang on how quick the disk is.
class Rendezvous final : public Clock {
 public:
  void expect(std::size_t together, Duration patience) {
    const std::lock_guard guard(mutex_);
    expected_ = together;
    patience_ = patience;
  }
  MonoTime mono() override {
    if (std::this_thread::get_id() == owner_) return system_.mono();
    std::unique_lock guard(mutex_);
    auto& writes = writing_;
    const auto self = std::find(writes.begin(), writes.end(), std::this_thread::get_id());
    if (self != writes.end()) {
      writes.erase(self);
      return system_.mono();
    }
    writes.push_back(std::this_thread::get_id());
    most_ = std::max(most_, writes.size());
    met_.notify_all();
    met_.wait_for(guard, patience_, [&] { return most_ >= expected_; });
    return system_.mono();
  }
  WallTime wall() override { return system_.wall(); }
  std::size_t most() {
    const std::lock_guard guard(mutex_);
    return most_;
  }

 private:
  const std::thread::id owner_ = std::this_thread::get_id();
  SystemClock system_;
  std::mutex mutex_;  ///< over all below
  std::size_t expected_ = 0;
  Duration patience_{0};
  std::condition_variable met_;
  std::vector<std::thread::id> writing_;
  std::size_t most_ = 0;
};

/// How many durable writes ran together on the executor, of 50 submits that did not wait for each other.
std::size_t writes_together(std::uint32_t in_flight, Duration patience) {
  const auto directory = std::filesystem::temp_directory_path() / ("qh-in-flight-" + std::to_string(::getpid()));
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  Options options;
  options.name = "alice";
  options.batches_in_flight = in_flight;
  Rendezvous clock;
  SystemClock time;
  SeededRng rng(1);
  auto files = log_storage_options(options, WriteMethod::kFdatasync);
  files.clock = &clock;
  auto storage = FileStorage::open(directory, std::move(files)).value();
  bool pump_wanted = false;
  auto engine = std::make_unique<Engine>(*storage, time, rng, options,
                                         Engine::Hooks{[&] { pump_wanted = true; }, [](std::string_view) {}});
  const auto deadline = time.mono() + std::chrono::seconds(60);
  const auto turn = [&] {
    storage->poll();
    while (std::exchange(pump_wanted, false)) engine->pump();
    if (storage->in_flight() > 0) storage->wait(time.mono() + std::chrono::milliseconds(5));
    if (time.mono() >= engine->next_wakeup()) engine->tick();
    return time.mono() < deadline;
  };
  bool open = false;
  engine->open([&](Result<RecoveryReport> result) { open = result.has_value(); });
  while (!open && turn()) {
  }
  EXPECT_TRUE(open);
  clock.expect(in_flight, patience);
  int durable = 0;
  for (int i = 0; i < 50; ++i) {
    SubmitOptions how;
    how.durability = Durability::kSync;
    engine->submit({encode(Message(Gossip{"together", {}})).value(), how},
                   [&](Result<Submitted> result) { durable += result.has_value(); });
    while (std::exchange(pump_wanted, false)) engine->pump();
  }
  while (durable < 50 && turn()) {
  }
  EXPECT_EQ(durable, 50);
  storage.reset();
  engine.reset();
  std::filesystem::remove_all(directory);
  return clock.most();
}

TEST(BatchesInFlightThreads, AsManyWritesRunTogetherAsWasAskedFor) {
  EXPECT_EQ(writes_together(4, std::chrono::seconds(10)), 4U);
}

TEST(BatchesInFlightThreads, OneAtATimeUnlessItIsAskedFor) {
  EXPECT_LE(writes_together(1, std::chrono::milliseconds(1)), 1U);
}

}  // namespace
}  // namespace qh::queue
