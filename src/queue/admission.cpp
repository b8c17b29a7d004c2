#include "queue/admission.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace qh::queue {
namespace {

constexpr std::int64_t kRetryMsMax = 10'000;
constexpr std::int64_t kRetryMsDefault = 1'000;

/// A bound of the queue, and what of it a message of this priority may have.
struct Bound {
  std::string_view name;
  std::uint64_t limit;
  std::uint64_t share;
  std::string_view unit;

  std::string text() const {
    if (share == limit) return fmt::format("{} is {}", name, limit);
    return fmt::format("{} is {}, of which {} are kept for Critical kinds", name, limit, limit - share);
  }
};

tl::unexpected<Error> full(const Bound& bound, std::int64_t retry_ms) {
  Error error(Errc::kQueueFull, "the queue is full: " + bound.text());
  error.subject = bound.name;
  error.retry_after_ms = retry_ms;
  error.limit = bound.limit;
  return tl::unexpected<Error>(std::move(error));
}

/// No waiting helps.
tl::unexpected<Error> never_fits(const Bound& bound, std::uint64_t asked) {
  Error error(Errc::kTooLarge,
              fmt::format("{} {} at once do not fit into an empty queue, either: {}", asked, bound.unit, bound.text()));
  error.size = asked;
  error.limit = bound.share;
  return tl::unexpected<Error>(std::move(error));
}

// An import may choose ids below it; as many again are left for what is submitted afterwards.
constexpr std::uint64_t kGivenIdMax = std::uint64_t{1} << 52;
constexpr std::size_t kKeyBytesMax = 128;
constexpr std::size_t kSubmitterBytesMax = 255;

tl::unexpected<Error> bad_option(std::string_view name, std::string why) {
  return fail(Error(Errc::kInvalid, fmt::format("{}: {}", name, why)).about(name));
}

}  // namespace

Result<void> check_submit_options(const SubmitOptions& options) {
  if (options.idempotency_key.size() > kKeyBytesMax) {
    return bad_option("idempotency_key", fmt::format("has {} bytes; at most {} are allowed",
                                                     options.idempotency_key.size(), kKeyBytesMax));
  }
  if (options.submitted_by.size() > kSubmitterBytesMax) return bad_option("submitted_by", "is longer than 255 bytes");
  if (options.not_before && options.not_before->ns < 0) return bad_option("not_before_ms", "is before 1970");
  if (options.expires_at && options.expires_at->ns <= 0) return bad_option("expires_at_ms", "is before 1970");
  if (options.id && (options.id->value() == 0 || options.id->value() >= kGivenIdMax))
    return bad_option("message_id", "must be 1 to 2^52 - 1, so that as many ids are left behind it");
  return {};
}

std::int64_t TokenBucket::wait_ms(double count, MonoTime now) {
  if (rate_ <= 0) return 0;
  if (filled_at_.ns != INT64_MIN) {
    const double seconds = static_cast<double>((now - filled_at_).count()) * 1e-9;
    tokens_ = std::min(burst_, tokens_ + seconds * rate_);
  }
  filled_at_ = now;
  // More than a whole burst at once is let through when the bucket is full: it goes into debt.
  const double needed = std::min(count, burst_);
  if (tokens_ >= needed) return 0;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil((needed - tokens_) / rate_ * 1e3)));
}

Admission::Admission(const Options& options)
    : options_(options), queue_(options.queue_rate_limit, options.queue_rate_burst) {}

Result<void> Admission::check_size(Kind kind, std::size_t body_bytes) const {
  const auto limit =
      info(kind).ordered ? std::min(options_.max_tx_bytes, options_.max_message_bytes) : options_.max_message_bytes;
  if (body_bytes <= limit) return {};
  Error error(Errc::kTooLarge,
              fmt::format("a {} of {} bytes; at most {} are allowed", info(kind).name, body_bytes, limit));
  error.size = body_bytes;
  error.limit = limit;
  return tl::unexpected<Error>(std::move(error));
}

Result<void> Admission::check_bounds(const Load& load, std::uint64_t messages, std::uint64_t bytes,
                                     Priority priority) const {
  const auto bound = [&](std::string_view name, std::uint64_t limit, std::string_view unit) {
    return Bound{name, limit, priority == Priority::kCritical ? limit : limit - limit / 5, unit};
  };
  const Bound depth = bound("max_depth", options_.max_depth, "messages");
  const Bound size = bound("max_bytes", options_.max_bytes, "bytes");
  if (messages > depth.share) return never_fits(depth, messages);
  if (bytes > size.share) return never_fits(size, bytes);
  std::int64_t retry_ms = kRetryMsDefault;
  if (drain_per_s_ > 0) {
    retry_ms = std::clamp<std::int64_t>(static_cast<std::int64_t>(1e3 * static_cast<double>(messages) / drain_per_s_),
                                        10, kRetryMsMax);
  }
  if (load.messages + messages > depth.share) return full(depth, retry_ms);
  if (load.bytes + bytes > size.share) return full(size, retry_ms);
  return {};
}

TokenBucket& Admission::bucket_of(std::string_view submitter) {
  if (const auto it = submitters_.find(submitter); it != submitters_.end()) {
    recent_.splice(recent_.begin(), recent_, it->second);
    return it->second->second;
  }
  if (recent_.size() >= kSubmittersMax) {
    submitters_.erase(recent_.back().first);
    recent_.pop_back();
  }
  recent_.emplace_front(std::string(submitter),
                        TokenBucket(options_.submitter_rate_limit, options_.submitter_rate_burst));
  submitters_.emplace(recent_.front().first, recent_.begin());
  return recent_.front().second;
}

Result<void> Admission::check_rate(std::string_view submitter, std::uint64_t messages, MonoTime now) {
  if (options_.queue_rate_limit <= 0 && options_.submitter_rate_limit <= 0) return {};
  const auto count = static_cast<double>(messages);
  auto wait = queue_.wait_ms(count, now);
  std::string_view bound = "queue_rate_limit";
  TokenBucket* mine = nullptr;
  if (options_.submitter_rate_limit > 0) {
    mine = &bucket_of(submitter);
    if (const auto longer = mine->wait_ms(count, now); longer > wait) {
      wait = longer;
      bound = "submitter_rate_limit";
    }
  }
  if (wait > 0) {
    Error error(Errc::kRateLimited, fmt::format("too many messages a second; try again in {} ms", wait));
    error.subject = bound;
    error.retry_after_ms = wait;
    return tl::unexpected<Error>(std::move(error));
  }
  queue_.spend(count);
  if (mine != nullptr) mine->spend(count);
  return {};
}

}  // namespace qh::queue
