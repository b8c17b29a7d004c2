// queue/log_storage.h - how the files of a log are written.
//
// One batch in flight is written inside the call while the disk is quick: on two cores that was fastest
// (docs/performance.md). Several can only be under way together on the executor, with a thread for each.
//
// Threads  a pure function.
#pragma once

#include "base/file_storage.h"
#include "queue/options.h"

namespace qh::queue {

inline FileStorage::Options log_storage_options(const Options& queue, WriteMethod write_method) {
  FileStorage::Options storage;
  storage.write_method = write_method;
  storage.executor_threads = queue.batches_in_flight;
  if (queue.batches_in_flight > 1) storage.placement = FileStorage::Placement::kExecutor;
  return storage;
}

}  // namespace qh::queue
