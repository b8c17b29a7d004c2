#include "base/clock.h"

#include <ctime>

namespace qh {
namespace {
std::int64_t read_clock(clockid_t id) {
  timespec now{};
  ::clock_gettime(id, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}
}  // namespace

MonoTime SystemClock::mono() { return {read_clock(CLOCK_MONOTONIC)}; }
MonoTime SystemClock::mono_coarse() { return {read_clock(CLOCK_MONOTONIC_COARSE)}; }
WallTime SystemClock::wall() { return {read_clock(CLOCK_REALTIME)}; }

}  // namespace qh
