// queue/queued_message.h - a message with its provenance.
//
// Threads  values; move-only, since the body is owned once.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/strong.h"
#include "queue/body.h"
#include "queue/message.h"

namespace qh::queue {

/// Never given twice by a queue, also across crashes. Starts at 1.
using MessageId = Strong<struct MessageIdTag, std::uint64_t>;
/// Never given twice by a queue, also across crashes. Starts at 1.
using LeaseId = Strong<struct LeaseIdTag, std::uint64_t>;

struct QueuedMessage {
  MessageId id;
  Body body;  ///< canonical (queue/message.h)
  WallTime created_at;
  std::string submitted_by;
  bool persisted = false;        ///< its record is on disk
  bool broadcast = false;        ///< sent to the other validators; no one does before the DAG
  std::uint32_t deliveries = 0;  ///< leases so far, this one included

  Kind kind() const { return static_cast<Kind>(body.view()[0]); }
  Priority priority() const { return info(kind()).priority; }
  /// Cannot fail for a message that came out of a queue: the body was checked on its way in.
  Message message() const { return decode(body.view()).value(); }
  /// SHA3-256 of the canonical body (FIPS 202), computed at each call.
  Hash32 digest() const;
};

}  // namespace qh::queue
