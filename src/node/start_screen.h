// node/start_screen.h - what a person sees when the node is up.
//
// Threads  pure functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "node/node.h"

namespace qh::node {

struct ScreenValidator {
  std::string name;
  std::uint16_t port = 0;
  std::uint16_t binary_port = 0;  ///< 0: none
  queue::RecoveryReport recovery;
};

struct Screen {
  std::string version;
  bool dev_by_default = false;
  std::vector<ScreenValidator> validators;
  std::filesystem::path data_dir;
  std::uint16_t web_port = 0, metrics_port = 0;  ///< 0: none
  std::string write_method;  ///< of the first validator: how durable writes are done, and what was measured
  bool needs_token = false;
  std::vector<std::string> listen = {};  ///< addresses; empty: loopback
};

enum class Paint : std::uint8_t { kPlain, kColour };

std::string start_screen(const Screen& screen, Paint paint);
/// What a person on this machine calls a node by that listens on these addresses: localhost, where that reaches it.
std::string shown_host(const std::vector<std::string>& listen);
/// "12 messages, 1 dead letter, in 3 ms"; "new" for a queue that was made now.
std::string recovered_text(const queue::RecoveryReport& report);

}  // namespace qh::node
