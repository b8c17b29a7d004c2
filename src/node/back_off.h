// node/back_off.h - how long to wait before a start that follows an error.
//
// It doubles from one error to the next, also when a start fails before anything ran, and begins anew only after a run
// of a minute.
//
// Threads  values.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/clock.h"

namespace qh::node {

class BackOff {
 public:
  static constexpr Duration kMin = std::chrono::milliseconds(100);
  static constexpr Duration kMax = std::chrono::seconds(30);
  static constexpr Duration kSteadyAfter = std::chrono::minutes(1);

  /// The wait after an error. `ran`: for how long it ran before; nothing: it did not get that far.
  Duration after_error(std::optional<Duration> ran) {
    if (ran && *ran >= kSteadyAfter) errors_ = 0;
    const auto doublings = std::min(errors_++, 16U);
    return std::min(kMax, kMin * (1U << doublings));
  }

 private:
  unsigned errors_ = 0;  ///< in a row
};

}  // namespace qh::node
