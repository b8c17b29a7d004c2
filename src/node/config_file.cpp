#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include <toml++/toml.h>

#include "base/nearest.h"
#include "base/read_file.h"
#include "node/config.h"
#include "node/key_parts.h"
#include "queue/json_text.h"

namespace qh::node {
namespace {

/// What a file has for a setting, for people.
std::string_view wanted(Form form) {
  switch (form) {
    case Form::kFlag:
      return "true or false";
    case Form::kText:
      return "text in quotes";
    case Form::kInteger:
      return "an integer";
    case Form::kNumber:
      return "a number";
    case Form::kBytes:
      return "an integer, or text with a unit, as \"64MiB\"";
    case Form::kTime:
      return "text with a unit, as \"30s\"";
    case Form::kList:
      return "an array of texts, or one text";
  }
  return {};
}

bool takes(Form form, const toml::node& node) {
  switch (form) {
    case Form::kFlag:
      return node.is_boolean();
    case Form::kText:
    case Form::kTime:
    case Form::kList:
      return node.is_string() && node.as_string()->get().find('\0') == std::string::npos;
    case Form::kInteger:
      return node.is_integer();
    case Form::kNumber:
      return node.is_number();
    case Form::kBytes:
      return node.is_integer() || node.is_string();
  }
  return false;
}

/// As it would be given as a flag; of what no flag can be, nothing.
std::string text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* number = node.as_floating_point()) {
    std::array<char, 32> text;
    return {text.data(), std::to_chars(text.data(), text.data() + text.size(), number->get()).ptr};
  }
  return {};
}

/// What stands there instead of what was wanted: "the text \"7\"", "the integer 7".
std::string described(const toml::node& node) {
  constexpr std::size_t kTextMax = 64;
  auto text = text_of(node);
  if (node.is_string()) {
    if (text.size() > kTextMax) return "a text of " + std::to_string(text.size()) + " bytes";
    std::string out = "the text ";
    queue::write_json_string(text, out);
    return out;
  }
  if (node.is_floating_point() && text.find_first_not_of("-0123456789") == text.npos) text += ".0";
  return node.is_integer()          ? "the integer " + text
         : node.is_floating_point() ? "the number " + text
         : node.is_boolean()        ? text
         : node.is_array()          ? "an array"
         : node.is_table()          ? "a table"
                                    : "a date or a time";
}

class FileReader {
 public:
  explicit FileReader(std::string name) : name_(std::move(name)) {}

  tl::expected<GivenFile, Mistakes> read(const toml::table& root) {
    for (const auto& [key, node] : root) {
      if (key == "queue") {
        read_queue(node);
      } else if (key == "validator") {
        read_validators(node);
      } else {
        read_setting(key.str(), std::string(key.str()), node, false);
      }
    }
    if (!mistakes_.empty()) return tl::unexpected(std::move(mistakes_));
    return std::move(file_);
  }

 private:
  std::string at(const toml::node& node) const { return name_ + ":" + std::to_string(node.source().begin.line); }
  void mistake(const toml::node& node, const std::string& what) { mistakes_.push_back(at(node) + ": " + what); }

  void read_queue(const toml::node& node) {
    const auto* table = node.as_table();
    if (table == nullptr) return mistake(node, "queue is a table: [queue]");
    for (const auto& [key, value] : *table) read_setting(key.str(), "queue." + std::string(key.str()), value, true);
  }

  void read_setting(std::string_view key, const std::string& name, const toml::node& node, bool in_queue) {
    const auto* setting = find_setting(name);
    if (setting == nullptr || is_queue_setting(*setting) != in_queue) return unknown(key, node, in_queue);
    if (setting->place == Place::kNotInFile) {
      return mistake(node,
                     std::string(key) +
                         " is no key of the file: a validator is a table [[validator]] with name and qssh-queue-port");
    }
    auto values = values_of(*setting, node);
    if (values) file_.settings[name] = {std::move(*values), at(node)};
  }

  void unknown(std::string_view key, const toml::node& node, bool in_queue) {
    const auto what = "unknown key " + std::string(key) + (in_queue ? " in [queue]" : "");
    if (const auto other = key_elsewhere(key, in_queue); !other.empty()) return mistake(node, what + other);
    std::vector<std::string> names;
    for (const auto& setting : settings()) {
      if (is_queue_setting(setting) != in_queue || setting.place == Place::kNotInFile) continue;
      names.emplace_back(in_queue ? setting.name.substr(6) : setting.name);
    }
    if (!in_queue) names.emplace_back("queue");
    if (!in_queue) names.emplace_back("validator");
    const std::vector<std::string_view> views(names.begin(), names.end());
    mistake(node, what + meant_hint(key, views));
  }

  /// A key that is one, but not here: of the flag's name, or in the wrong table.
  static std::string key_elsewhere(std::string_view key, bool in_queue) {
    const auto bare = key.starts_with("queue-") ? key.substr(6) : key;
    if (find_setting("queue." + std::string(bare)) != nullptr)
      return in_queue ? " (did you mean " + std::string(bare) + "?)" : " (it is " + std::string(bare) + " of [queue])";
    const auto* setting = in_queue ? find_setting(key) : nullptr;
    return setting != nullptr && setting->place == Place::kEverywhere ? " (it stands above every table)" : "";
  }

  std::optional<std::vector<std::string>> values_of(const Setting& setting, const toml::node& node) {
    const auto* array = setting.form == Form::kList ? node.as_array() : nullptr;
    if (array == nullptr) {
      if (!takes(setting.form, node)) return wrong_type(setting.name, wanted(setting.form), node), std::nullopt;
      return std::vector{text_of(node)};
    }
    std::vector<std::string> values;
    for (const auto& element : *array) {
      if (!takes(setting.form, element)) return wrong_type(setting.name, wanted(Form::kText), element), std::nullopt;
      values.push_back(text_of(element));
    }
    return values;
  }

  void wrong_type(std::string_view key, std::string_view expected, const toml::node& node) {
    mistake(node, std::string(key) + ": expected " + std::string(expected) + ", got " + described(node));
  }

  void read_validators(const toml::node& node) {
    const auto* array = node.as_array();
    if (array == nullptr || array->empty())
      return mistake(node, "validators are tables: [[validator]] with name and qssh-queue-port");
    for (const auto& element : *array) {
      const auto* table = element.as_table();
      if (table == nullptr) return mistake(element, "validators are tables: [[validator]]");
      read_validator(*table);
    }
  }

  void read_validator(const toml::table& table) {
    constexpr std::array<std::string_view, 2> kKeys{"name", "qssh-queue-port"};
    GivenValidator validator;
    validator.origin = at(table);
    validator.name_origin = at(table);
    for (const auto& [key, value] : table) {
      if (key == "name") {
        if (!value.is_string()) wrong_type(key.str(), wanted(Form::kText), value);
        validator.name = value.value_or(std::string("?"));
        validator.name_origin = at(value);
      } else if (key == "qssh-queue-port") {
        const auto* port = value.as_integer();
        if (port == nullptr || port->get() < 1 || port->get() > 65'535)
          wrong_type(key.str(), "a port from 1 to 65535", value);
        else
          validator.port = static_cast<std::uint16_t>(port->get());
        validator.port_origin = at(value);
      } else {
        mistake(value, "unknown key " + std::string(key.str()) + " in [[validator]]" + nearest_hint(key.str(), kKeys));
      }
    }
    if (validator.name.empty()) mistake(table, "this [[validator]] has no name");
    file_.validators.push_back(std::move(validator));
  }

  std::string name_;
  GivenFile file_;
  Mistakes mistakes_;
};

}  // namespace

tl::expected<GivenFile, Mistakes> read_config_file(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) {
    return tl::unexpected(
        Mistakes{"the configuration file " + file.string() + ": " + (error ? error.message() : "no regular file")});
  }
  const auto text = read_file(file, kConfigFileBytesMax);
  if (!text) return tl::unexpected(Mistakes{"the configuration file: " + text.error().to_string()});
  return read_config_text(*text, file.string());
}

tl::expected<GivenFile, Mistakes> read_config_text(std::string_view text, const std::string& name) {
  if (const auto line = line_of_deep_key(text)) {
    return tl::unexpected(Mistakes{name + ":" + std::to_string(*line) + ": a key of more than " +
                                   std::to_string(kKeyPartsMax) +
                                   " parts; no key has more than two, as queue.max-depth"});
  }
  try {
    return FileReader(name).read(toml::parse(text, name));
  } catch (const toml::parse_error& wrong) {  // Debian builds the library with exceptions; they end here
    return tl::unexpected(
        Mistakes{name + ":" + std::to_string(wrong.source().begin.line) + ": " + std::string(wrong.description())});
  }
}

}  // namespace qh::node
