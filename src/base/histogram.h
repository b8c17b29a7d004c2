// base/histogram.h - distributions in bounded memory.
//
// Buckets grow by powers of two, each cut into 16: a percentile is at most 6.25 % above the truth.
// Windowed keeps the last `slots` slices of time, so that "p99 of the last 10 s" forgets.
//
// Units    whatever the caller records, as unsigned integers (nanoseconds, records).
// Threads  one owner.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/clock.h"

namespace qh {

struct HistogramSummary {
  std::uint64_t count = 0;
  double sum = 0, mean = 0, p50 = 0, p99 = 0, p999 = 0, max = 0;
};

class Histogram {
 public:
  void record(std::uint64_t value);
  void clear();
  void add(const Histogram& other);
  std::uint64_t count() const { return count_; }
  std::uint64_t sum() const { return sum_; }
  /// The smallest bucket bound that at least `q` (0..1) of the values lie below; 0 without values.
  std::uint64_t quantile(double q) const;
  /// Everything multiplied by `scale`, for example 1e-9 for nanoseconds to seconds.
  HistogramSummary summary(double scale) const;

 private:
  static constexpr unsigned kSubBits = 4;
  static constexpr unsigned kTopBit = 42;  // 2^42 ns is 73 minutes; larger values count as the last bucket
  static constexpr std::size_t kBuckets = (kTopBit - kSubBits + 2) << kSubBits;

  static std::size_t bucket_of(std::uint64_t value);
  static std::uint64_t upper_bound_of(std::size_t bucket);

  std::array<std::uint32_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0, sum_ = 0, max_ = 0;
};

class WindowedHistogram {
 public:
  explicit WindowedHistogram(Duration window) : slice_(window / kSlots) {}
  void record(std::uint64_t value, MonoTime now);
  /// The values of the last window, give or take one slice.
  Histogram window(MonoTime now) const;
  const Histogram& total() const { return total_; }

 private:
  static constexpr std::size_t kSlots = 5;
  Duration slice_;
  std::array<Histogram, kSlots> slots_{};
  std::array<std::int64_t, kSlots> slot_numbers_{};
  Histogram total_;
};

/// Events a second over the last window.
class RateCounter {
 public:
  explicit RateCounter(Duration window) : slice_(window / kSlots), window_(window) {}
  void add(std::uint64_t events, MonoTime now) {
    if (now.ns < slot_from_ || now.ns >= slot_from_ + slice_.count()) enter_slot(now);
    counts_[slot_] += events;
  }
  double per_second(MonoTime now) const;
  /// Events in the last window.
  std::uint64_t events(MonoTime now) const;

 private:
  void enter_slot(MonoTime now);

  static constexpr std::size_t kSlots = 10;
  Duration slice_, window_;
  std::size_t slot_ = 0;
  std::int64_t slot_from_ = 0;
  std::array<std::uint64_t, kSlots> counts_{};
  std::array<std::int64_t, kSlots> slot_numbers_{};
};

}  // namespace qh
