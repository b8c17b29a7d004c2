// tests/queue/limit_machine.h - the queue and the disk on which the limits of storage are tried.
#pragma once

#include "queue_machine.h"

namespace qh::queue {

inline Options limit_options() {
  auto options = small_options();
  options.segment_bytes_min = 64U << 10;
  options.segment_bytes_max = 128U << 10;
  options.max_message_bytes = options.max_tx_bytes = 4U << 10;
  options.max_batch_bytes = 16U << 10;
  return options;
}

}  // namespace qh::queue
