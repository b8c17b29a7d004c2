#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include <toml++/toml.h>

#include "base/nearest.h"
#include "base/read_file.h"
#include "node/config.h"

namespace qh::node {
namespace {

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
    if (setting.form == Form::kList) {
      if (const auto* array = node.as_array()) {
        std::vector<std::string> values;
        for (const auto& element : *array) {
          auto text = text_of(element);
          if (!text) return mistake(element, "expected text"), std::nullopt;
          values.push_back(std::move(*text));
        }
        return values;
      }
    }
    auto text = text_of(node);
    if (!text)
      return mistake(node, "expected " + std::string(setting.form == Form::kFlag ? "true or false" : "one value")),
             std::nullopt;
    return std::vector{std::move(*text)};
  }

  /// As it would be given as a flag.
  static std::optional<std::string> text_of(const toml::node& node) {
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* number = node.as_integer()) return std::to_string(number->get());
    if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
    if (const auto* number = node.as_floating_point()) {
      std::array<char, 32> text;
      return std::string(text.data(), std::to_chars(text.data(), text.data() + text.size(), number->get()).ptr);
    }
    return std::nullopt;
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
    for (const auto& [key, value] : table) {
      if (key == "name") {
        if (const auto* name = value.as_string())
          validator.name = name->get();
        else
          mistake(value, "name is text");
      } else if (key == "qssh-queue-port") {
        const auto* port = value.as_integer();
        if (port == nullptr || port->get() < 1 || port->get() > 65'535)
          mistake(value, "qssh-queue-port is a port from 1 to 65535");
        else
          validator.port = static_cast<std::uint16_t>(port->get());
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
  try {
    return FileReader(name).read(toml::parse(text, name));
  } catch (const toml::parse_error& wrong) {  // Debian builds the library with exceptions; they end here
    return tl::unexpected(
        Mistakes{name + ":" + std::to_string(wrong.source().begin.line) + ": " + std::string(wrong.description())});
  }
}

}  // namespace qh::node
