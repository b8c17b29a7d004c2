// node/config.h - what a node is to do: flags over environment over file over defaults.
//
// Errors   every mistake that was found, a line each, with where it stands and, for an unknown name, the nearest
//          known one. They are usage errors: exit 2.
// Threads  values.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "node/setting.h"
#include "node/validator.h"
#include "rpc/validator_name.h"

namespace qh::node {

/// A setting that somebody gave.
struct Given {
  std::vector<std::string> values;
  std::string origin;  ///< "--data-dir", "QUANTUMHARMONY_DATA_DIR", "node.toml:7"
};
/// By setting name.
using GivenSettings = std::map<std::string, Given, std::less<>>;
using Mistakes = std::vector<std::string>;

/// One [[validator]] table of a file.
struct GivenValidator {
  std::string name;
  std::uint16_t port = 0;  ///< 0: the next one
  std::string origin;      ///< of the table
  std::string name_origin, port_origin;
};

struct GivenFile {
  GivenSettings settings;
  std::vector<GivenValidator> validators;
};

/// Where a validator's name and port come from, as Given::origin says it.
struct ValidatorOrigin {
  std::string name, port;
};

struct Config {
  Settings settings;
  GivenSettings given;  ///< what won, by name
  std::filesystem::path data_dir;
  std::string data_dir_origin;
  bool dev = false;             ///< dev validators
  bool dev_by_default = false;  ///< nobody asked for them
  std::vector<ValidatorOptions> validators;
  std::vector<ValidatorOrigin> validator_origins;  ///< of each of them
  std::uint16_t metrics_port = 0, web_port = 0;    ///< moved by port-offset; 0: none
};

inline constexpr std::uint64_t kFirstPort = 9944;  ///< the first validator's, before port-offset
inline constexpr std::uint64_t kConfigFileBytesMax = 1U << 20;

/// Reads a TOML file of at most kConfigFileBytesMax. config_file.cpp.
tl::expected<GivenFile, Mistakes> read_config_file(const std::filesystem::path& file);
/// The same of a text; `name` is what mistakes and origins call it.
tl::expected<GivenFile, Mistakes> read_config_text(std::string_view text, const std::string& name);
/// The variables that begin with QUANTUMHARMONY_; QUANTUMHARMONY_CONFIG goes to `config_file`.
GivenSettings read_environment(const char* const* environment, std::string& config_file, Mistakes& mistakes);
/// Judges all of it together.
tl::expected<Config, Mistakes> make_config(const GivenSettings& flags, const GivenSettings& environment,
                                           const GivenFile& file);

using rpc::is_validator_name;
using rpc::kValidatorNames;

/// Those of the validators that a node has.
struct TakenPorts {
  std::vector<std::uint16_t> rpc, binary;
};
/// A validator that is added while the node of this configuration runs. Port 0: the one after the highest.
/// config_added.cpp.
Result<ValidatorOptions> added_validator(const Config& config, const TakenPorts& taken, const std::string& name,
                                         std::uint16_t port);

/// Where a setting was given, as mistakes name it: "--data-dir", "node.toml:7: data-dir"; not given: its flag.
std::string place_of(const Config& config, std::string_view name);

/// A configuration file that says the same, with the origin of each value.
std::string show_config(const Config& config);
std::string show_config_json(const Config& config);
/// docs/configuration.md, all of it; a test compares the file.
std::string configuration_markdown();

}  // namespace qh::node
