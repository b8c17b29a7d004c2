// base/clock.h - time as an argument.
//
// Units    nanoseconds. MonoTime counts from an arbitrary start and never goes back; WallTime is
//          Unix time and may jump either way.
// Threads  SystemClock may be read from any thread.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace qh {

using Duration = std::chrono::nanoseconds;

struct MonoTime {
  std::int64_t ns = 0;
  friend constexpr auto operator<=>(MonoTime, MonoTime) = default;
  constexpr MonoTime operator+(Duration d) const { return {ns + d.count()}; }
  constexpr Duration operator-(MonoTime other) const { return Duration(ns - other.ns); }
  static constexpr MonoTime never() { return {INT64_MAX}; }
};

struct WallTime {
  std::int64_t ns = 0;
  friend constexpr auto operator<=>(WallTime, WallTime) = default;
  constexpr WallTime operator+(Duration d) const { return {ns + d.count()}; }
  constexpr Duration operator-(WallTime other) const { return Duration(ns - other.ns); }
  constexpr std::int64_t ms() const { return ns / 1'000'000; }
  constexpr std::int64_t seconds() const { return ns / 1'000'000'000; }
  /// Beyond the year 2262, and before 1678, the last moment that there is.
  static constexpr WallTime from_ms(std::int64_t ms) {
    constexpr auto kMost = INT64_MAX / 1'000'000;
    return {(ms > kMost ? kMost : ms < -kMost ? -kMost : ms) * 1'000'000};
  }
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonoTime mono() = 0;
  virtual WallTime wall() = 0;
  /// As mono(), but up to 10 ms behind and several times as quick: for counting, not for deadlines.
  virtual MonoTime mono_coarse() { return mono(); }
};

/// CLOCK_MONOTONIC, CLOCK_REALTIME and CLOCK_MONOTONIC_COARSE.
class SystemClock final : public Clock {
 public:
  MonoTime mono() override;
  WallTime wall() override;
  MonoTime mono_coarse() override;
};

}  // namespace qh
