// node/setting.h - the one table of settings: names, units, defaults, what each is for.
//
// A setting NAME is the flag --NAME, the key NAME of the configuration file and the environment variable
// QUANTUMHARMONY_NAME (capitals, _ for - and .). queue.NAME is --queue-NAME, the key NAME of the table [queue] and
// QUANTUMHARMONY_QUEUE_NAME. Parsing, --help, `config show` and docs/configuration.md are made from the table.
//
// Units    sizes "64MiB", "256KiB" or plain bytes; times "500ms", "30s", "10min", "1h", "30d".
// Threads  constants.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/storage_probe.h"
#include "node/log.h"
#include "queue/options.h"

namespace qh::node {

/// The settings as they were given, before they are judged together.
struct Settings {
  bool dev = false;
  std::uint64_t validators = 3;
  bool validator = false;
  std::string name;
  std::uint64_t port = 9944;
  std::uint64_t binary_port = 0;  ///< of the first validator; 0: none
  std::string queue_mode = "manual";
  std::uint64_t port_offset = 0;
  std::uint64_t metrics_port = 9950;  ///< 0: none
  std::uint64_t web_port = 8080;      ///< 0: none
  std::vector<std::string> listen;
  bool allow_remote = false;
  std::string rpc_token_file;
  bool require_token = false;
  std::vector<std::string> allow_origin;
  std::vector<std::string> allow_host;
  std::string data_dir;  ///< empty: the state directory of this user
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  WriteMethod write_method = WriteMethod::kAuto;
  bool allow_faults = false;
  queue::Options queue;
};

/// Says also which types of TOML it takes. Flags and variables are text in any case.
enum class Form : std::uint8_t {
  kFlag,     ///< true or false
  kText,     ///< a string
  kInteger,  ///< an integer
  kNumber,   ///< an integer or a float
  kBytes,    ///< an integer, or a string with a unit
  kTime,     ///< a string with a unit
  kList,     ///< an array of strings, or one string
};
enum class Place : std::uint8_t { kEverywhere, kNotInFile };

struct Setting {
  std::string_view name;
  Form form = Form::kText;
  std::string_view value_name;  ///< in --help: "PORT"; also the unit
  std::string_view meaning;
  Place place = Place::kEverywhere;
  /// Takes what was given; the error says what was expected.
  Result<void> (*set)(Settings& settings, const std::vector<std::string>& values) = nullptr;
  /// As it would be given; lists with commas.
  std::string (*show)(const Settings& settings) = nullptr;
  /// All that it takes, where that is a few words.
  std::span<const std::string_view> words = {};
};

/// Of one process, by --validators or as tables of a file.
inline constexpr std::size_t kValidatorsMax = 100;

std::span<const Setting> settings();
const Setting* find_setting(std::string_view name);
bool is_queue_setting(const Setting& setting);
/// "--queue-max-depth"
std::string flag_of(const Setting& setting);
/// "QUANTUMHARMONY_QUEUE_MAX_DEPTH"
std::string variable_of(const Setting& setting);
/// " (did you mean --data-dir?)", or nothing. `known` makes the names to choose from, and `others` are more of them
/// without the `prefix`, which makes no two names alike.
std::string setting_hint(std::string_view given, std::string_view prefix, std::string (*known)(const Setting&),
                         std::span<const std::string_view> others);
/// The setting of an option of the queue: "queue_rate_limit" is "queue.rate-limit".
std::string setting_of_queue_option(std::string_view option);

/// "10 min" as "10min"; the largest unit that divides it.
std::string duration_text(Duration value);
std::string bytes_text(std::uint64_t value);
Result<Duration> parse_duration(std::string_view text);
Result<std::uint64_t> parse_bytes(std::string_view text);

}  // namespace qh::node
