// tests/queue/queue_machine.h - an engine on a simulated disk in virtual time, through many lives.
//
// Threads  one owner.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "queue/engine.h"
#include "sim/answered.h"
#include "sim/sim_disk.h"

namespace qh::queue {

/// Small segments, so that a short run goes through many lives of each.
inline Options small_options() {
  Options options;
  options.name = "sim";
  options.segment_bytes_min = 64U << 10;
  options.segment_bytes_max = 128U << 10;
  options.max_message_bytes = 8U << 10;
  options.max_tx_bytes = 4U << 10;
  options.max_batch_bytes = 32U << 10;
  options.idempotency_window = std::chrono::seconds(60);
  return options;
}

/// A disk whose operations take no virtual time.
inline SimDisk::Options at_once() {
  SimDisk::Options disk;
  disk.inline_share = 1;
  disk.stall_one_in = 0;
  return disk;
}

class QueueMachine {
 public:
  explicit QueueMachine(std::uint64_t seed, Options queue_options = small_options(), SimDisk::Options disk_options = {})
      : world(seed), disk(world, seed, disk_options), rng(seed ^ 0x9e3779b9), options(std::move(queue_options)) {}

  Result<RecoveryReport> start(bool salvage = false) {
    make_engine();
    return answer<RecoveryReport>([&](auto done) {
      if (salvage)
        engine->open_salvage(std::move(done));
      else
        engine->open(std::move(done));
    });
  }
  /// A start that goes on with the steps to come.
  void begin_start(Engine::Done<RecoveryReport> done) {
    make_engine();
    engine->open(std::move(done));
  }

  /// One thing happens: a batch starts, an event comes, or time passes up to the next timer. False: nothing will.
  bool step() {
    if (engine && std::exchange(pump_wanted_, false)) {
      engine->pump();
      return true;
    }
    const auto next = engine ? engine->next_wakeup() : MonoTime::never();
    if (next != MonoTime::never()) {
      const auto timer = world.at(next, [] {});
      world.run_one();
      world.cancel(timer);
      if (engine && world.mono() >= next) engine->tick();
      return true;
    }
    return world.run_one();
  }
  template <class Condition>
  bool run_until(Condition condition, std::size_t steps_max = 1'000'000) {
    for (std::size_t i = 0; !condition(); ++i) {
      if (i == steps_max || !step()) return false;
    }
    return true;
  }
  void run_for(Duration time) {
    const auto end = world.mono() + time;
    const auto timer = world.at(end, [] {});
    run_until([&] { return world.mono() >= end; });
    world.cancel(timer);
  }
  template <class T, class Start>
  Result<T> answer(Start start, std::size_t steps_max = 1'000'000) {
    return answered_by<T>([&, left = steps_max]() mutable { return left-- > 0 && step(); }, std::move(start));
  }

  void power_cut(std::uint64_t seed) {
    disk.power_cut(seed);
    engine.reset();
    disk.reboot();
  }
  void process_kill(std::uint64_t seed) {
    disk.process_kill(seed);
    engine.reset();
    disk.reboot();
  }
  Result<void> stop() {
    auto stopped = answer<void>([&](auto done) { engine->stop(std::move(done)); });
    disk.process_kill(rng.next());
    engine.reset();
    disk.reboot();
    return stopped;
  }

  // The calls that tests make most, to their answers.
  Result<Submitted> submit(const Message& message, SubmitOptions how = {}) {
    return answer<Submitted>([&](auto done) { engine->submit({encode(message).value(), how}, std::move(done)); });
  }
  Result<std::optional<Taken>> take(KindMask mask = KindMask::all()) {
    return answer<std::optional<Taken>>([&](auto done) { engine->take({mask, MonoTime{}}, std::move(done)); });
  }
  Result<std::vector<Leased>> lease(std::uint32_t max = 1, Duration duration = std::chrono::seconds(30)) {
    return answer<std::vector<Leased>>([&](auto done) {
      engine->lease({KindMask::all(), MonoTime{}}, max, duration, std::move(done));
    });
  }
  Result<LeaseOutcome> ack(LeaseId lease) {
    return answer<LeaseOutcome>([&](auto done) { engine->ack({lease}, std::move(done)); });
  }
  Result<LeaseOutcome> nack(LeaseId lease, std::optional<Duration> delay = {}, std::string error = {}) {
    return answer<LeaseOutcome>([&](auto done) { engine->nack({lease}, delay, error, std::move(done)); });
  }

  SimWorld world;
  SimDisk disk;
  SeededRng rng;
  Options options;
  std::unique_ptr<Engine> engine;
  std::vector<std::string> warnings;
  std::uint64_t allocations = 0, allocated_bytes = 0;  ///< for messages, since the machine was made

 private:
  void make_engine() {
    warnings.clear();
    pump_wanted_ = false;
    engine = std::make_unique<Engine>(
        disk, world, rng, options,
        Engine::Hooks{[this] { pump_wanted_ = true; }, [this](std::string_view line) { warnings.emplace_back(line); },
                      [this](const void* memory, std::size_t bytes) {
                        allocations += memory != nullptr;
                        allocated_bytes += bytes;
                      }});
  }

  bool pump_wanted_ = false;
};

inline Gossip gossip(std::string topic, std::string data = {}) { return Gossip{std::move(topic), to_bytes(data)}; }
inline SubmitOptions sync_by(std::string who) {
  SubmitOptions options;
  options.durability = Durability::kSync;
  options.submitted_by = std::move(who);
  return options;
}

}  // namespace qh::queue
