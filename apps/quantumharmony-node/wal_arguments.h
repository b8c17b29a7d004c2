// wal_arguments.h - what stands behind `quantumharmony-node wal`. No flag is taken and passed over.
//
// Threads  a pure function.
#pragma once

#include <string>
#include <vector>

#include "node/config.h"

namespace qh::app {

struct WalArguments {
  std::string command, config_file, data_dir, name, dir, output = "text", file;
  node::GivenSettings settings;  ///< of an import
  bool renumber = false, dead_letters = false;
};

/// What is wrong, or nothing.
std::string parse_wal(const std::vector<std::string>& words, WalArguments& out);

}  // namespace qh::app
