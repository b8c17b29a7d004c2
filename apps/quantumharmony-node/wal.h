// wal.h - `quantumharmony-node wal dump|verify|repair|export|import`: arguments, and what is printed.
//
// Exit     0 done and sound, 1 failed or damaged, 2 usage.
#pragma once

#include <string>
#include <vector>

namespace qh::app {

/// `arguments` behind the word wal.
int run_wal(const std::vector<std::string>& arguments);

}  // namespace qh::app
