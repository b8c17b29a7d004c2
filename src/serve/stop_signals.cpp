#include "serve/stop_signals.h"

#include <csignal>
#include <utility>

namespace qh::serve {

StopSignals::Ask StopSignals::take(int signal, MonoTime now) {
  if (signal == SIGHUP && !terminal_) return Ask::kNothing;
  if (!asked_) {
    asked_ = now;
    by_hangup_ = signal == SIGHUP;
    return Ask::kStop;
  }
  if (signal == SIGHUP) return Ask::kGoOn;
  if (std::exchange(by_hangup_, false)) {
    asked_ = now;
    return Ask::kGoOn;
  }
  return now - *asked_ < kRepeatAfter ? Ask::kGoOn : Ask::kEndAtOnce;
}

}  // namespace qh::serve
