// tests/queue/torture.h - random work on a queue, a ledger of what was promised, and the check of it.
//
// Everything is drawn from one seed: the work, the disk's latencies and losses, the faults, the moments at
// which the power goes or the process is killed. After each life the ledger says what must be there, what
// must not, and what may be either.
#pragma once

#include <cstdint>
#include <string>

namespace qh::queue {

struct TortureOptions {
  int lives = 6;
  int operations_a_life = 120;
  bool power_cuts = true;  ///< otherwise the process is killed, and the page cache lives on
  bool faults = false;     ///< failing writes and syncs, a full disk, no descriptors, read-only
  std::uint32_t batches_in_flight = 1;
  bool large_writes = false;  ///< batches of 64 KiB and more, of larger segments, and small ones between them
};

struct TortureResult {
  std::string failure;  ///< empty: every promise was kept
  std::uint64_t submits = 0, hand_outs = 0, lives = 0, recycled = 0, files = 0, torn = 0, failed_lives = 0;
  /// Retries of a death that was not on disk, repeats of a key of a message that just died, lives that ended there.
  std::uint64_t early_retries = 0, repeats_of_dead = 0, cut_deaths = 0;
};

TortureResult torture(std::uint64_t seed, const TortureOptions& options);

}  // namespace qh::queue
