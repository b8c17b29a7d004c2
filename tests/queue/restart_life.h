// tests/queue/restart_life.h - random calls on a queue, and what it says of itself at rest and after a start.
//
// Threads  one owner.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "queue_machine.h"

namespace qh::queue {

/// All that can be asked about one message; of a dead letter also what it died of, and when.
struct Looked {
  MessageState state{};
  std::int64_t ready_at_ms = 0;
  std::uint32_t deliveries = 0;
  std::string submitted_by;
  Bytes body;
  std::int64_t created_ns = 0;
  bool persisted = false;
  bool held = false, expires = false;
  std::string reason, error;
  std::int64_t died_ms = 0;

  std::string text() const;
};
using LookedAt = std::map<std::uint64_t, Looked>;

LookedAt look(const Engine& engine);

enum class RestartBy { kStop, kPowerCut, kKill };

struct LifeOptions {
  bool only_sync = true;    ///< nothing is only in memory
  bool disk_fills = false;  ///< now and then, and is empty again at rest
};

class RestartLife {
 public:
  RestartLife(std::uint64_t seed, LifeOptions how);

  /// `lives` times: so many calls, a rest, and a restart that must bring back what was there.
  void run(int lives, int calls);

 private:
  // restart_calls.cpp
  void one();
  bool submits(std::uint64_t what);
  bool hands_out(std::uint64_t what);
  bool tidies(std::uint64_t what);
  void fill_or_step();
  Submission fresh();
  Submission keyed(const std::string& key) const;
  std::vector<LeaseId> some_leases();
  MessageId any_id();

  // restart_life.cpp
  using KnownKeys = std::map<std::string, MessageId>;
  void come_to_rest();
  void restart();
  KnownKeys known_keys();
  void compare(LookedAt was, const Counters& counted, RestartBy by, std::int64_t ended_ms);
  /// Messages that a start turned into dead letters.
  std::uint64_t compare_messages(const LookedAt& was, LookedAt is, RestartBy by, std::int64_t ended_ms);
  bool died_by_the_start(const Looked& was, const Looked& is, RestartBy by, std::int64_t ended_ms) const;

  SeededRng rng_;
  LifeOptions how_;
  QueueMachine m_;
  std::vector<LeaseId> leases_;
  std::map<std::string, MonoTime> keys_;  ///< and when each was first used
};

}  // namespace qh::queue
