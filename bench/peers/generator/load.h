// bench/peers/generator/load.h - the generators, and what they have seen.
//
// Closed loop: each client asks again when it has its answer. Two kinds, because where the load comes from is part of
// the figure: threads that block share the processors with the server by many switches, one event loop by few.
// Offered load: requests at fixed times, whatever the server does, each timed from when it was due.
//
// Units    seconds and microseconds as double; times inside are nanoseconds of the steady clock.
// Errors   the first of any client ends a closed loop.
// Threads  a call starts and joins its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "bench/peers/generator/conversation.h"

namespace qh::bench {

std::int64_t now_ns();

struct Plan {
  std::string protocol = "redis";
  std::uint16_t port = 0;
  unsigned clients = 1;
  unsigned batch = 1;  ///< messages a request
  Work work = Work::kPut;
  double seconds = 2;                    ///< of measuring, at most
  double warm_up_s = 0.3;                ///< before it
  std::uint64_t messages_max = 750'000;  ///< ends earlier than `seconds` when so many are put or taken
};

/// One answered request.
struct Sample {
  std::int64_t end_ns = 0;
  std::int64_t latency_ns = 0;
};

struct Seen {
  std::vector<Sample> samples;
  std::int64_t begin_ns = 0;  ///< of the first request
  std::int64_t end_ns = 0;    ///< from here on not every client was busy
};

struct Summary {
  std::uint64_t messages = 0;  ///< all, those of the warm-up included: what the server must have
  double seconds = 0;          ///< that were measured
  double rate = 0;             ///< messages/s in them
  double p50_us = 0, p99_us = 0, max_us = 0;
};

/// The warm-up is cut off; of a run that was shorter than planned, a fifth at most.
Summary summarize(Seen seen, double warm_up_s, unsigned batch);

Result<Seen> blocking_clients(const Plan& plan);
Result<Seen> event_loop(const Plan& plan);

struct Offer {
  Plan plan;           ///< its `seconds` and `warm_up_s`; no messages_max
  double rate = 100;   ///< requests/s
  bool go_on = false;  ///< a cut or refused connection is made again, and what was under way is counted as lost
};

struct Offered {
  Seen seen;
  std::uint64_t due = 0;       ///< requests that were to be sent
  std::uint64_t lost = 0;      ///< without an answer: cut, or not answered until `kGraceS` after the end
  std::uint64_t not_sent = 0;  ///< every connection was busy until the end
};

inline constexpr double kGraceS = 2;
Result<Offered> offered_load(const Offer& offer);

/// How many messages may still be asked for, and until when.
class Tickets {
 public:
  explicit Tickets(const Plan& plan);
  std::int64_t begin_ns() const { return begin_ns_; }
  std::int64_t end_ns() const { return end_ns_.load(); }
  /// For one more request. False: the time is over or nothing is left, for this client and so for all.
  bool one_more(std::int64_t now);

 private:
  std::int64_t begin_ns_;
  std::atomic<std::int64_t> end_ns_;
  std::atomic<std::int64_t> left_;
  std::int64_t batch_;
};

}  // namespace qh::bench
