#include "queue/options.h"

#include <algorithm>

#include <fmt/format.h>

#include "queue/log_format.h"

namespace qh::queue {
namespace {

tl::unexpected<Error> bad(std::string_view key, std::string why) {
  return fail(Error(Errc::kInvalid, fmt::format("{}: {}", key, why)).about(key));
}

// Room for the fields of a put record beside the body: key, submitter, error text, fixed fields.
constexpr std::uint64_t kPutFieldsMax = 128 + 255 + 1024 + 256;

}  // namespace

// Segments then hold more live bytes than half of themselves, whatever their messages: compaction comes to an end.
std::uint64_t segment_bytes_for(std::uint64_t body_bytes) {
  const auto for_two = align_up(5 * (body_bytes + kPutFieldsMax) / 2, wal::kBlockBytes) + 3 * wal::kBlockBytes;
  return std::max(for_two, wal::kSegmentBytesLeast);
}

Result<void> Options::check() const {
  if (name.empty() || name.size() > wal::kQueueNameBytesMax) return bad("name", "must have 1 to 64 bytes");
  if (max_depth == 0) return bad("max_depth", "must be at least 1");
  if (max_bytes == 0) return bad("max_bytes", "must be at least 1");
  if (max_message_bytes == 0) return bad("max_message_bytes", "must be at least 1");
  if (max_deliveries == 0 || max_deliveries > 1000) return bad("max_deliveries", "must be 1 to 1000");
  if (max_batch_messages == 0 || max_batch_messages > 65'535) return bad("max_batch_messages", "must be 1 to 65535");
  if (!(queue_rate_limit >= 0) || !(queue_rate_burst >= 1))  // NaN too
    return bad("queue_rate_limit", "must be 0 or more, with a burst of at least 1");
  if (!(submitter_rate_limit >= 0) || !(submitter_rate_burst >= 1)) {
    return bad("submitter_rate_limit", "must be 0 or more, with a burst of at least 1");
  }
  if (lease_min <= Duration(0)) return bad("lease_min", "must be longer than 0");
  if (lease_min > lease_default || lease_default > lease_max) {
    return bad("lease_default", "must lie between lease_min and lease_max");
  }
  if (segment_bytes_min % wal::kBlockBytes != 0 || segment_bytes_max % wal::kBlockBytes != 0) {
    return bad("segment_bytes_min", "segments are multiples of 4096 bytes");
  }
  if (segment_bytes_min > segment_bytes_max) return bad("segment_bytes_min", "is over segment_bytes_max");
  const auto needed = segment_bytes_for(max_message_bytes);
  if (segment_bytes_min < needed) {
    return bad("segment_bytes_min",
               fmt::format("must be at least {}, for messages of up to {} bytes", needed, max_message_bytes));
  }
  if (stop_within < kStopWithinLeast) return bad("stop_within", "must be at least 100ms");
  if (batches_in_flight == 0 || batches_in_flight > 64) return bad("batches_in_flight", "must be 1 to 64");
  return {};
}

}  // namespace qh::queue
