// serve/run_node.h - runs a node until it is told to stop.
//
// Signals  SIGTERM and SIGINT stop it gracefully, SIGHUP too where stdout is a terminal. Who asks twice, by SIGTERM or
//          SIGINT, ends the process at once (128 + the number). A terminal that goes sends several SIGHUPs, so one
//          behind another signal changes nothing, nor is it the first of two. Without a terminal SIGHUP is told in the
//          log and changes nothing. SIGPIPE is ignored.
// Exit     0 stopped; 1 failed; 2 usage (a token file that cannot be read); 5 the graceful stop took too long.
#pragma once

#include "node/config.h"

namespace qh::serve {

/// Whether the files that it names can be read: what run_node() would refuse with exit 2.
Result<void> check_files(const node::Config& config);
int run_node(const node::Config& config);

}  // namespace qh::serve
