// tests/queue/crash_worker.h - the process that is killed: works on a queue and tells its parent what it was told.
//
// Lines on stdout, each written before the call that it announces or after the answer that it reports:
//   have TAG ID          there at the start      ready                 the work begins
//   submit TAG           asked for               submitted TAG ID      answered as durable
//   group TAG TAG ...    submitted as one        leased TAG LEASE
//   take THREAD          asked for               taken THREAD TAG ID   or: nothing THREAD
//   ack THREAD TAG       asked for               acked THREAD TAG
//   recycled N           segments, in this life
#pragma once

#include <cstdint>

#include "queue/options.h"

namespace qh::queue {

inline constexpr unsigned kCrashThreads = 4;
Options crash_options();
int crash_worker(const char* directory, std::uint64_t life);

}  // namespace qh::queue
