#include "base/histogram.h"

#include <algorithm>
#include <cmath>

namespace qh {

std::size_t Histogram::bucket_of(std::uint64_t value) {
  constexpr std::uint64_t kLinear = std::uint64_t{1} << kSubBits;
  if (value < kLinear) return static_cast<std::size_t>(value);
  const unsigned top = static_cast<unsigned>(std::bit_width(value)) - 1;
  if (top > kTopBit) return kBuckets - 1;
  const auto sub = (value >> (top - kSubBits)) & (kLinear - 1);
  return ((top - kSubBits + 1) << kSubBits) + static_cast<std::size_t>(sub);
}

std::uint64_t Histogram::upper_bound_of(std::size_t bucket) {
  constexpr std::size_t kLinear = std::size_t{1} << kSubBits;
  if (bucket < kLinear) return bucket;
  const auto shift = (bucket >> kSubBits) - 1;
  return (((bucket & (kLinear - 1)) + kLinear + 1) << shift) - 1;
}

void Histogram::record(std::uint64_t value) {
  ++buckets_[bucket_of(value)];
  ++count_;
  sum_ += value;
  max_ = std::max(max_, value);
}

void Histogram::clear() { *this = Histogram(); }

void Histogram::add(const Histogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

std::uint64_t Histogram::quantile(double q) const {
  if (count_ == 0) return 0;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(upper_bound_of(i), max_);
  }
  return max_;
}

HistogramSummary Histogram::summary(double scale) const {
  HistogramSummary s;
  s.count = count_;
  s.sum = static_cast<double>(sum_) * scale;
  s.mean = count_ == 0 ? 0 : s.sum / static_cast<double>(count_);
  s.p50 = static_cast<double>(quantile(0.5)) * scale;
  s.p99 = static_cast<double>(quantile(0.99)) * scale;
  s.p999 = static_cast<double>(quantile(0.999)) * scale;
  s.max = static_cast<double>(max_) * scale;
  return s;
}

void WindowedHistogram::record(std::uint64_t value, MonoTime now) {
  const auto number = now.ns / slice_.count();
  const auto slot = static_cast<std::size_t>(number) % kSlots;
  if (slot_numbers_[slot] != number) {
    slots_[slot].clear();
    slot_numbers_[slot] = number;
  }
  slots_[slot].record(value);
  total_.record(value);
}

Histogram WindowedHistogram::window(MonoTime now) const {
  const auto number = now.ns / slice_.count();
  Histogram sum;
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (number - slot_numbers_[i] < static_cast<std::int64_t>(kSlots)) sum.add(slots_[i]);
  }
  return sum;
}

void RateCounter::enter_slot(MonoTime now) {
  const auto number = now.ns / slice_.count();
  slot_ = static_cast<std::size_t>(number) % kSlots;
  slot_from_ = number * slice_.count();
  if (slot_numbers_[slot_] == number) return;
  counts_[slot_] = 0;
  slot_numbers_[slot_] = number;
}

std::uint64_t RateCounter::events(MonoTime now) const {
  const auto number = now.ns / slice_.count();
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (number - slot_numbers_[i] < static_cast<std::int64_t>(kSlots)) sum += counts_[i];
  }
  return sum;
}

double RateCounter::per_second(MonoTime now) const {
  return static_cast<double>(events(now)) / (static_cast<double>(window_.count()) * 1e-9);
}

}  // namespace qh
