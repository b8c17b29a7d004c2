// `config show` and docs/configuration.md.
#include <algorithm>
#include <array>
#include <charconv>

#include "node/config.h"
#include "queue/json_text.h"

namespace qh::node {
namespace {

std::string in_quotes(std::string_view text) {
  std::string out;
  queue::write_json_string(text, out);  // a TOML basic string is written the same way
  return out;
}

/// A number that TOML and JSON read, and whose text a reader gets back as it is: no leading zero, no 1.50.
bool is_plain_number(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789.") != text.npos || text.size() > 15) return false;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::array<char, 32> again{};
  const auto* last = std::to_chars(again.data(), again.data() + again.size(), value, std::chars_format::fixed).ptr;
  return error == std::errc() && end == text.data() + text.size() && std::string_view(again.data(), last) == text;
}

/// A value as TOML, and as JSON: both write these alike.
std::string literal(const Setting& setting, const std::string& shown) {
  if (setting.form == Form::kFlag) return shown;
  if (setting.form == Form::kText) return is_plain_number(shown) ? shown : in_quotes(shown);
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
  const auto given = config.given.find(setting.name);
  return given == config.given.end() ? "default" : given->second.origin;
}

std::string value_of(const Config& config, const Setting& setting) {
  return setting.name == "data-dir" ? config.data_dir.string() : setting.show(config.settings);
}

/// The keys of the file that a configuration has; those of the validators stand in their tables.
bool is_shown(const Config& config, const Setting& setting) {
  if (setting.place == Place::kNotInFile) return false;
  // A file with both would say two things.
  return config.dev || (setting.name != "dev" && setting.name != "validators");
}

void add_line(const Config& config, const Setting& setting, std::string& out) {
  const auto name = is_queue_setting(setting) ? setting.name.substr(6) : setting.name;
  auto value = value_of(config, setting);
  if (setting.name == "dev") value = "true";
  std::string line = std::string(name) + " = " + literal(setting, value);
  line.resize(std::max<std::size_t>(line.size() + 2, 48), ' ');
  out += line + "# " + origin_of(config, setting) + "\n";
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
flag is `true` or `false` and a list has commas.

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
9950, which is kept for metrics.

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
  for (const auto& validator : config.validators) {
    const auto port = validator.port - static_cast<int>(config.settings.port_offset);
    const std::string lead = config.dev ? "# " : "";  // of the dev network; a file would name them anew
    out += "\n" + lead + "[[validator]]\n" + lead + "name = " + in_quotes(validator.name) + "\n" + lead +
           "qssh-queue-port = " + std::to_string(port) + "\n";
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
  for (const auto& validator : config.validators) {
    if (out.back() != '[') out += ',';
    out += R"({"name":)" + in_quotes(validator.name) + R"(,"port":)" + std::to_string(validator.port) +
           R"(,"directory":)" + in_quotes(validator.directory.string()) + "}";
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
      "| `qssh-queue-port` | its port before `port-offset`; without it the one after the last |\n";
  return out;
}

}  // namespace qh::node
