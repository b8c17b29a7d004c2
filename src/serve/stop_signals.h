// serve/stop_signals.h - what the signals that reach a node ask of it.
//
// SIGTERM and SIGINT stop it, and so does SIGHUP on a terminal. Who does not want to wait sends SIGTERM or SIGINT
// again, and loses what is only in memory. So a repeat counts only where somebody means it:
// - not within a second: timeout(1) signals a program and then its process group, and so it twice;
// - not a SIGHUP: the kernel and the shell each send one when a terminal goes;
// - not the first one behind a SIGHUP: a session that is ended sends SIGTERM with it. The second is counted from that.
// Threads  one.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace qh::serve {

class StopSignals {
 public:
  enum class Ask : std::uint8_t {
    kNothing,    ///< a SIGHUP of a service that expects to be read anew
    kStop,       ///< the first that asks for it
    kGoOn,       ///< the stop goes on: nobody asked again
    kEndAtOnce,  ///< without what is only in memory
  };
  static constexpr auto kRepeatAfter = std::chrono::seconds(1);

  /// `terminal`: on one, SIGHUP says that it has gone.
  explicit StopSignals(bool terminal) : terminal_(terminal) {}

  Ask take(int signal, MonoTime now);

 private:
  bool terminal_;
  std::optional<MonoTime> asked_;  ///< for the stop, first; behind a SIGHUP, by the session
  bool by_hangup_ = false;         ///< by nobody, so far
};

}  // namespace qh::serve
