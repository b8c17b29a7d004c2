#include "wal_arguments.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "base/nearest.h"
#include "node/command_line.h"

namespace qh::app {
namespace {

constexpr std::array<std::string_view, 5> kCommands{"dump", "verify", "repair", "export", "import"};

/// A flag of wal; those with a `value_name` need a value.
struct Flag {
  std::string_view name, value_name;
  std::string_view command;                    ///< that it is for; empty: every one
  std::string WalArguments::*value = nullptr;  ///< nullptr: a switch
  bool WalArguments::*is_given = nullptr;      ///< nullptr: it changes nothing
};

constexpr std::array kFlags{
    Flag{"--data-dir", "DIR", "", &WalArguments::data_dir},
    Flag{"--config", "FILE", "", &WalArguments::config_file},
    Flag{"--name", "VALIDATOR", "", &WalArguments::name},
    Flag{"--dir", "QUEUE_DIRECTORY", "", &WalArguments::dir},
    Flag{"--output", "text or json", "dump", &WalArguments::output},
    Flag{"--renumber", "", "import", nullptr, &WalArguments::renumber},
    Flag{"--dead-letters", "", "import", nullptr, &WalArguments::dead_letters},
    Flag{"--ndjson", "", "export"},  // the only form there is
};

/// The setting whose flag this is, if an import keeps to it.
const node::Setting* setting_of_import(std::string_view flag) {
  for (const auto name : node::settings_of_import()) {
    const auto* setting = node::find_setting(name);
    if (node::flag_of(*setting) == flag) return setting;
  }
  return nullptr;
}

std::string hint_of_flag(std::string_view given) {
  std::vector<std::string> names{"--help"};
  names.reserve(1 + kFlags.size() + node::settings_of_import().size());
  for (const auto& flag : kFlags) names.emplace_back(flag.name);
  for (const auto name : node::settings_of_import()) names.push_back(node::flag_of(*node::find_setting(name)));
  const std::vector<std::string_view> views(names.begin(), names.end());
  return nearest_hint(given, views);
}

std::string quoted_if_empty(const std::string& word) { return word.empty() ? "''" : word; }

class WalParser {
 public:
  WalParser(const std::vector<std::string>& words, WalArguments& out) : words_(words), out_(out) {}

  std::string parse() {
    while (at_ < words_.size()) {
      const auto& word = words_[at_++];
      auto wrong = word.starts_with("-") && word != "-" ? take_flag(word) : take_word(word);
      if (!wrong.empty()) return wrong;
    }
    return judge();
  }

 private:
  std::string take_flag(const std::string& word) {
    const auto eq = word.find('=');
    const auto name = word.substr(0, eq);
    std::optional<std::string> value;
    if (eq != word.npos) value = word.substr(eq + 1);
    if (const auto* setting = setting_of_import(name)) {
      only_for_.emplace_back(name, "import");
      std::string bound;
      auto wrong = take_value(name, setting->value_name, std::move(value), bound);
      out_.settings[std::string(setting->name)] = {{bound}, name};
      return wrong;
    }
    const auto flag = std::find_if(kFlags.begin(), kFlags.end(), [&](const Flag& f) { return f.name == name; });
    if (flag == kFlags.end()) return name + ": unknown flag" + hint_of_flag(name);
    if (!flag->command.empty()) only_for_.emplace_back(name, flag->command);
    if (flag->value != nullptr) return take_value(name, flag->value_name, std::move(value), out_.*flag->value);
    if (value) return name + ": takes no value";
    if (flag->is_given != nullptr) out_.*flag->is_given = true;
    return {};
  }

  std::string take_value(const std::string& name, std::string_view value_name, std::optional<std::string> value,
                         std::string& into) {
    if (!value && (at_ == words_.size() || words_[at_].starts_with("--")))
      return name + ": needs a value, " + std::string(value_name);
    into = value ? *value : words_[at_++];
    return into.empty() ? name + ": expected " + std::string(value_name) + ", got ''" : std::string();
  }

  std::string take_word(const std::string& word) {
    if (out_.command.empty()) {
      if (std::find(kCommands.begin(), kCommands.end(), word) == kCommands.end())
        return quoted_if_empty(word) + ": unknown command" + nearest_hint(word, kCommands) +
               "; there are dump, verify, repair, export and import";
      out_.command = word;
      return {};
    }
    if (out_.command != "import" || !out_.file.empty() || word.empty()) return quoted_if_empty(word) + ": unexpected";
    out_.file = word;
    return {};
  }

  std::string judge() const {
    if (out_.command.empty()) return "which command? dump, verify, repair, export or import";
    for (const auto& [flag, command] : only_for_) {
      if (command != out_.command) return flag + ": is for " + std::string(command);
    }
    if (out_.output != "text" && out_.output != "json")
      return "--output: expected text or json, got '" + out_.output + "'";
    if (out_.command == "import" && out_.file.empty()) return "import: which FILE? - is the standard input";
    if (out_.dir.empty()) return {};
    if (!out_.name.empty() || !out_.data_dir.empty()) return "--dir: not together with --data-dir or --name";
    if (out_.command != "import" && !out_.config_file.empty())
      return "--config: with --dir it is for import, which keeps to its bounds";
    return {};
  }

  const std::vector<std::string>& words_;
  WalArguments& out_;
  std::size_t at_ = 0;
  std::vector<std::pair<std::string, std::string_view>> only_for_;  ///< a flag, and its command
};

}  // namespace

std::string parse_wal(const std::vector<std::string>& words, WalArguments& out) {
  return WalParser(words, out).parse();
}

}  // namespace qh::app
