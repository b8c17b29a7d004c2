// sim/sim_world.h - virtual time and its events: what a simulation runs on.
//
// Nothing happens but by run_one(): it takes the earliest event, sets the clock to its time and calls it.
// The same seed and the same calls give the same run.
//
// Units    as base/clock.h. The monotonic clock starts at 1 s, the wall clock on 2026-01-01.
// Bounds   run_until_idle() and run_until() stop after `events_max`: a run that never ends is a bug.
// Threads  one owner.
#pragma once

#include <cstddef>
#include <map>
#include <utility>

#include "base/clock.h"
#include "base/rng.h"
#include "base/unique_function.h"

namespace qh {

class SimWorld final : public Clock {
 public:
  /// When it is due, and a number that tells events of one moment apart: they run in the order they were made.
  using EventId = std::pair<MonoTime, std::uint64_t>;
  static constexpr std::size_t kEventsMax = 10'000'000;

  explicit SimWorld(std::uint64_t seed) : rng_(seed) {}

  MonoTime mono() override { return now_; }
  WallTime wall() override { return {now_.ns + wall_offset_ns_}; }
  /// As an operator or NTP would; the monotonic clock goes on undisturbed.
  void jump_wall(Duration by) { wall_offset_ns_ += by.count(); }
  Rng& rng() { return rng_; }

  /// A time that has passed means now.
  EventId at(MonoTime when, UniqueFunction<void()> event);
  EventId after(Duration delay, UniqueFunction<void()> event) { return at(now_ + delay, std::move(event)); }
  /// Nothing if it ran already.
  void cancel(EventId id) { events_.erase(id); }

  /// False: there is no event.
  bool run_one();
  /// Answers how many events ran.
  std::size_t run_until_idle(std::size_t events_max = kEventsMax);
  /// False: the events ran out, or too many ran, before `condition()` held.
  template <class Condition>
  bool run_until(Condition condition, std::size_t events_max = kEventsMax) {
    for (std::size_t i = 0; !condition(); ++i) {
      if (i == events_max || !run_one()) return false;
    }
    return true;
  }
  /// Runs what is due within `by`, then the clock stands there.
  void advance(Duration by);
  std::size_t events() const { return events_.size(); }

 private:
  SeededRng rng_;
  MonoTime now_{1'000'000'000};
  std::int64_t wall_offset_ns_ = 1'767'225'600'000'000'000 - 1'000'000'000;
  std::uint64_t last_event_ = 0;
  std::map<EventId, UniqueFunction<void()>> events_;
};

}  // namespace qh
