// node/process_figures.h - what the system says about this process (proc(5)).
//
// The files that it reads are opened by the first call and stay open, so that the figures are there when descriptors
// are used up: that is when they are wanted. What could not be opened then has no figure.
//
// Threads  any.
#pragma once

#include <cstdint>
#include <optional>

namespace qh::node {

struct ProcessFigures {
  double cpu_seconds = 0;
  std::optional<std::uint64_t> resident_bytes, virtual_bytes;
  std::optional<std::uint64_t> open_fds, threads;
  std::uint64_t max_fds = 0;
};

ProcessFigures process_figures();

}  // namespace qh::node
