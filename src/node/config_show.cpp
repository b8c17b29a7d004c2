// `config show` and docs/configuration.md.
#include <algorithm>

#include "node/config.h"
#include "queue/json_text.h"

namespace qh::node {
namespace {

std::string in_quotes(std::string_view text) {
  std::string out;
  queue::write_json_string(text, out);  // a TOML basic string is written the same way
  return out;
}

/// A value as TOML, of the type that the file takes, and as JSON: both write these alike.
std::string literal(const Setting& setting, const std::string& shown) {
  switch (setting.form) {
    case Form::kFlag:
    case Form::kInteger:
    case Form::kNumber:
      return shown;
    case Form::kBytes:
      return shown.find_first_not_of("0123456789") == shown.npos ? shown : in_quotes(shown);
    case Form::kText:
    case Form::kTime:
      return in_quotes(shown);
    case Form::kList:
      break;
  }
  std::string list = "[";
  for (std::size_t from = 0; from < shown.size();) {
    const auto comma = std::min(shown.find(',', from), shown.size());
    list += (list.size() > 1 ? ", " : "") + in_quotes(shown.substr(from, comma - from));
    from = comma + 1;
  }
  return list + "]";
}

std::string origin_of(const Config& config, const Setting& setting) {
  if (setting.name == "data-dir") return config.data_dir_origin;
  if (setting.name == "dev" && config.dev_by_default) return "default: nothing else was asked for";
  // So many dev validators are asked for with the dev network.
  const bool by_number = setting.name == "dev" && config.dev && !config.settings.dev;
  const auto given = config.given.find(by_number ? "validators" : setting.name);
  return given == config.given.end() ? "default" : given->second.origin;
}

std::string value_of(const Config& config, const Setting& setting) {
  if (setting.name == "dev") return config.dev ? "true" : "false";
  return setting.name == "data-dir" ? config.data_dir.string() : setting.show(config.settings);
}

/// The keys of the file that a configuration has; those of the validators stand in their tables.
bool is_shown(const Config& config, const Setting& setting) {
  if (setting.place == Place::kNotInFile) return false;
  // A file with both would say two things.
  return config.dev || (setting.name != "dev" && setting.name != "validators");
}

std::string with_origin(std::string line, const std::string& origin) {
  line.resize(std::max<std::size_t>(line.size() + 2, 48), ' ');
  return line + "# " + origin + "\n";
}

void add_line(const Config& config, const Setting& setting, std::string& out) {
  const auto name = is_queue_setting(setting) ? setting.name.substr(6) : setting.name;
  out +=
      with_origin(std::string(name) + " = " + literal(setting, value_of(config, setting)), origin_of(config, setting));
}

std::string table_row(const Setting& setting) {
  const auto key = is_queue_setting(setting) ? std::string(setting.name.substr(6)) : std::string(setting.name);
  const auto shown = setting.show(Settings{});
  std::string row = "| `" + key + "` | `" + flag_of(setting);
  if (!setting.value_name.empty()) row += " " + std::string(setting.value_name);
  row += "` | `" + variable_of(setting) + "` | " + (shown.empty() ? "" : "`" + shown + "`") + " | " +
         std::string(setting.meaning) + " |\n";
  return row;
}

constexpr std::string_view kIntroduction = R"(# Configuration

Made from the table of settings (`src/node/setting.cpp`): `./dev docs` writes it anew. Tests compare it with the table and
run its commands.

A setting is a flag, an environment variable and a key of a TOML file (`--config FILE` or `QUANTUMHARMONY_CONFIG`). Flags win
over the environment, the environment over the file, the file over the defaults; a list is replaced as a whole. An
unknown name is refused, with the nearest known one. `quantumharmony-node config check` judges, `config show` tells where
each value comes from.

Sizes are bytes, or `256KiB`, `64MiB`, `1GiB`. Times have their unit: `500ms`, `30s`, `10min`, `1h`, `30d`. In the environment a
flag is `true` or `false` and a list has commas. In the file a flag is `true` or `false`, a number stands without quotes, a list
is an array of texts in quotes (or one text), and everything else is a text in quotes, a time too: `"30s"`. A size is a number
without quotes or a text with its unit: `65536`, `"64KiB"`. An empty flag or variable (`--data-dir "$UNSET"`) is a mistake; of a
list the variable may be empty.

```toml
# node.toml
data-dir = "/var/lib/quantumharmony"
log-format = "json"

[queue]
max-depth = 200000
lease-default = "1min"

[[validator]]
name = "alice"
qssh-queue-port = 9944

[[validator]]
name = "bob"            # without a port: the next one
```

```sh
quantumharmony-node --config node.toml config check
QUANTUMHARMONY_LOG_LEVEL=debug quantumharmony-node --config node.toml --queue-max-depth 7 config show |
  grep -E '^(data-dir|web-port|log-level|max-depth|lease-default) '
```

```text
ok: alice 9944 bob 9945, data in /var/lib/quantumharmony
web-port = 8080                                 # default
data-dir = "/var/lib/quantumharmony"            # node.toml:2
log-level = "debug"                             # QUANTUMHARMONY_LOG_LEVEL
max-depth = 7                                   # --queue-max-depth
lease-default = "1min"                          # node.toml:7
```

What is wrong is told with its place:

```sh
sed 's/max-depth/max-dept/' node.toml > wrong.toml
quantumharmony-node --config wrong.toml config check || echo "exit $?"
```

```text
quantumharmony-node: wrong.toml:6: unknown key max-dept in [queue] (did you mean max-depth?)
Try quantumharmony-node --help.
exit 2
```

Without `[[validator]]` tables and without `--validator` the dev network runs: alice 9944, bob 9945, charlie 9946, …, past
9950, which is kept for metrics. `config show` then has `dev = true`, and `dev = false` is a mistake: there would be nothing to run.

)";

}  // namespace

std::string show_config(const Config& config) {
  std::string out;
  for (const auto& setting : settings()) {
    if (!is_queue_setting(setting) && is_shown(config, setting)) add_line(config, setting, out);
  }
  out += "\n[queue]\n";
  for (const auto& setting : settings()) {
    if (is_queue_setting(setting)) add_line(config, setting, out);
  }
  for (std::size_t i = 0; i < config.validators.size(); ++i) {
    const auto& validator = config.validators[i];
    const auto& origin = config.validator_origins[i];
    const auto port = validator.port - static_cast<int>(config.settings.port_offset);
    const std::string lead = config.dev ? "# " : "";  // of the dev network; a file would name them anew
    out += "\n" + lead + "[[validator]]\n";
    out += with_origin(lead + "name = " + in_quotes(validator.name), origin.name);
    out += with_origin(lead + "qssh-queue-port = " + std::to_string(port), origin.port);
  }
  return out;
}

std::string show_config_json(const Config& config) {
  std::string out = R"({"settings":{)";
  for (const auto& setting : settings()) {
    if (!is_shown(config, setting)) continue;
    if (out.back() != '{') out += ',';
    out += in_quotes(setting.name) + R"(:{"value":)" + literal(setting, value_of(config, setting)) + R"(,"origin":)" +
           in_quotes(origin_of(config, setting)) + "}";
  }
  out += R"(},"validators":[)";
  for (std::size_t i = 0; i < config.validators.size(); ++i) {
    const auto& validator = config.validators[i];
    const auto& origin = config.validator_origins[i];
    if (out.back() != '[') out += ',';
    out += R"({"name":)" + in_quotes(validator.name) + R"(,"name_origin":)" + in_quotes(origin.name) + R"(,"port":)" +
           std::to_string(validator.port) + R"(,"port_origin":)" + in_quotes(origin.port) + R"(,"directory":)" +
           in_quotes(validator.directory.string()) + "}";
  }
  return out + "]}\n";
}

std::string configuration_markdown() {
  std::string out(kIntroduction);
  const std::string titles = "| key | flag | variable | default | what it is |\n|---|---|---|---|---|\n";
  out +=
      "## The node\n\nKeys at the top of the file; `validator`, `name` and `qssh-queue-port` are flags and variables "
      "only.\n\n" +
      titles;
  for (const auto& setting : settings()) {
    if (!is_queue_setting(setting)) out += table_row(setting);
  }
  out += "\n## `[queue]`\n\nFor every validator of this node.\n\n" + titles;
  for (const auto& setting : settings()) {
    if (is_queue_setting(setting)) out += table_row(setting);
  }
  out +=
      "\n## `[[validator]]`\n\n| key | what it is |\n|---|---|\n"
      "| `name` | at most 32 of `a-z`, `0-9` and `-`; not `aggregate` |\n"
      "| `qssh-queue-port` | its port before `port-offset`; without it the one after the last, of the first 9944 |\n"
      "\nAt most 100 of them.\n";
  return out;
}

}  // namespace qh::node
