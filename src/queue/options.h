// queue/options.h - every bound and knob of a queue.
//
// Each is a key of the configuration file under [queue]; docs/configuration.md lists them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace qh::queue {

struct Options {
  std::string name = "queue";  ///< the validator's; written into every segment

  // What may be in the queue. A fifth of max_depth and max_bytes is kept for Critical kinds.
  std::uint64_t max_depth = 1'000'000;               ///< messages, leased and delayed ones included
  std::uint64_t max_bytes = std::uint64_t{1} << 30;  ///< bodies and keys
  std::uint32_t max_message_bytes = 1U << 20;        ///< canonical body
  std::uint32_t max_tx_bytes = 256U << 10;           ///< Transaction and EntropyShare
  std::uint32_t max_batch_messages = 1'000;
  std::uint32_t max_batch_bytes = 4U << 20;
  std::uint32_t max_waiters = 65'536;  ///< takes and leases that wait for a message

  // Messages a second; 0 is no limit. The burst is how many may come at once.
  double queue_rate_limit = 0;
  double queue_rate_burst = 1'000;
  double submitter_rate_limit = 0;
  double submitter_rate_burst = 1'000;

  std::uint32_t idempotency_keys_max = 100'000;
  Duration idempotency_window = std::chrono::minutes(10);

  std::uint32_t fairness = 0;  ///< after this many of one class one of a lower; 0: strict priority
  std::uint32_t max_deliveries = 5;
  Duration lease_default = std::chrono::seconds(30);
  Duration lease_min = std::chrono::milliseconds(100);
  Duration lease_max = std::chrono::hours(1);

  std::uint64_t dead_letters_max = 100'000;
  std::uint64_t dead_letter_bytes_max = std::uint64_t{256} << 20;
  Duration dead_letter_age_max = std::chrono::hours(24 * 30);

  std::uint8_t consumed_kinds =
      0;  ///< KindMask bits: kinds that this node consumes itself; their age counts for health

  /// Of an import alone, which only submits, durably and with ids of its own: none are reserved ahead, so that one that
  /// was cut off can go on with the next. With it whoever else submits gives ids twice, or waits for ever.
  bool ids_by_puts = false;

  /// Not less than kStopWithinLeast: a stop that has no time for its last write loses what is only in memory.
  Duration stop_within = std::chrono::seconds(10);
  static constexpr Duration kStopWithinLeast = std::chrono::milliseconds(100);

  // The log. These and the sizes of messages may be smaller than what a log was written with: segments stay large
  // enough for the largest message that a start finds in it, until a start finds it gone.
  std::uint64_t segment_bytes_min = 4U << 20;
  std::uint64_t segment_bytes_max = 64U << 20;
  std::uint32_t batches_in_flight = 1;
  Duration idle_mark_after = std::chrono::milliseconds(50);

  /// kInvalid with `subject` = the key that does not fit, and why.
  Result<void> check() const;
};

/// The smallest segments, a multiple of a block and at least 32 KiB, for bodies up to this size: two put records of
/// them fit into one.
std::uint64_t segment_bytes_for(std::uint64_t body_bytes);

}  // namespace qh::queue
