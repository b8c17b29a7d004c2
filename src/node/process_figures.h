// node/process_figures.h - what the system says about this process (proc(5)).
//
// Threads  any.
#pragma once

#include <cstdint>

namespace qh::node {

struct ProcessFigures {
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0, virtual_bytes = 0;
  std::uint64_t open_fds = 0, max_fds = 0;
  std::uint64_t threads = 0;
};

ProcessFigures process_figures();

}  // namespace qh::node
