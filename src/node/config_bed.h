// node/config_bed.h - for tests: what a command line makes.
#pragma once

#include <string>
#include <vector>

#include "node/command_line.h"
#include "node/config.h"

namespace qh::node {

using Words = std::vector<std::string>;

/// What a command line makes, with a file and an environment below it.
inline tl::expected<Config, Mistakes> configure(const Words& arguments, const GivenFile& file = {},
                                                const GivenSettings& environment = {}) {
  const auto line = parse_command_line(arguments);
  if (!line) return tl::unexpected(line.error());
  return make_config(line->flags, environment, file);
}

inline std::string first_mistake(const Words& arguments, const GivenFile& file = {}) {
  const auto config = configure(arguments, file);
  return config ? "" : config.error().front();
}

}  // namespace qh::node
