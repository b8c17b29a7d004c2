// queue/admission.h - whether one more message may come in.
//
// A fifth of max_depth and max_bytes is kept for Critical kinds: a flood of transactions must not shut out
// the blocks that would drain it. Rates are token buckets on the monotonic clock.
// Threads  the owner's.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/result.h"
#include "queue/engine.h"
#include "queue/message.h"
#include "queue/options.h"

namespace qh::queue {

/// `rate` a second, `burst` at once. A rate of 0 lets everything through.
class TokenBucket {
 public:
  TokenBucket(double rate, double burst) : rate_(rate), burst_(burst), tokens_(burst) {}
  /// 0 when there are `count` tokens, else the milliseconds until there will be.
  std::int64_t wait_ms(double count, MonoTime now);
  void spend(double count) { tokens_ -= rate_ > 0 ? count : 0; }

 private:
  double rate_, burst_, tokens_;
  MonoTime filled_at_{INT64_MIN};
};

/// What is true of one submit by itself, whatever is in the queue: the lengths of its texts, its times, and an id that
/// an import chose. kInvalid, `subject` the option.
Result<void> check_submit_options(const SubmitOptions& options);

class Admission {
 public:
  explicit Admission(const Options& options);

  /// What the queue holds now.
  struct Load {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;

    Load& operator+=(const Load& other) {
      messages += other.messages;
      bytes += other.bytes;
      return *this;
    }
    Load& operator-=(const Load& other) {
      messages -= other.messages;
      bytes -= other.bytes;
      return *this;
    }
    friend Load operator+(Load a, const Load& b) { return a += b; }
  };
  Result<void> check_size(Kind kind, std::size_t body_bytes) const;
  /// kQueueFull when there is no room for them beside `load`, kTooLarge when there never is.
  Result<void> check_bounds(const Load& load, std::uint64_t messages, std::uint64_t bytes, Priority priority) const;
  /// Takes the tokens when both buckets have them, else takes none.
  Result<void> check_rate(std::string_view submitter, std::uint64_t messages, MonoTime now);
  /// How fast the queue is drained, for retry_after_ms.
  void drained(double messages_per_s) { drain_per_s_ = messages_per_s; }

 private:
  static constexpr std::size_t kSubmittersMax = 10'000;
  TokenBucket& bucket_of(std::string_view submitter);

  const Options& options_;
  TokenBucket queue_;
  std::list<std::pair<std::string, TokenBucket>> recent_;  ///< newest first
  std::unordered_map<std::string_view, std::list<std::pair<std::string, TokenBucket>>::iterator> submitters_;
  double drain_per_s_ = 0;
};

}  // namespace qh::queue
