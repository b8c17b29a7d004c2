#include "node/command_line.h"

#include <algorithm>
#include <array>
#include <utility>

#include <CLI/CLI.hpp>

#include "base/nearest.h"

namespace qh::node {
namespace {

constexpr const char* kDescription =
    "Runs validators, each behind a crash-safe priority queue of its own.\n"
    "Without arguments: the dev network, alice on port 9944, bob on 9945 and charlie on 9946.";

constexpr const char* kExamples =
    "Examples:\n"
    "  quantumharmony-node                                   three dev validators\n"
    "  quantumharmony-node --validator --name alice          one validator, on port 9944\n"
    "  quantumharmony-node --config node.toml config show    what a file makes of it\n"
    "  quantumharmony-node wal --help                        look at a log, mend it, export and import";

/// Which flags are keys and variables too.
std::string footer() {
  std::string no_keys;
  for (const auto& setting : settings()) {
    if (setting.place == Place::kNotInFile) no_keys += (no_keys.empty() ? "" : ", ") + flag_of(setting);
  }
  return "Each of these flags but --help and --version is an environment variable too (QUANTUMHARMONY_DATA_DIR), and "
         "each but\n"
         "these, --config and " +
         no_keys + " a key of the configuration file:\ndocs/configuration.md.\n" + kExamples;
}

std::string group_of(const Setting& setting) {
  if (is_queue_setting(setting)) return "Queue";
  constexpr std::array<std::string_view, 6> kWhat{"dev",  "validators",      "validator",
                                                  "name", "qssh-queue-port", "queue-mode"};
  if (std::find(kWhat.begin(), kWhat.end(), setting.name) != kWhat.end()) return "What to run";
  constexpr std::array<std::string_view, 3> kRest{"data-dir", "log-level", "log-format"};
  return std::find(kRest.begin(), kRest.end(), setting.name) != kRest.end() ? "Data and log" : "Ports and callers";
}

class Parser {
 public:
  Parser() : app_(kDescription, "quantumharmony-node") {
    app_.footer(footer());
    app_.get_formatter()->column_width(38);
    app_.set_help_flag("-h,--help", "this text");
    app_.add_flag("--version", version_, "the version, and nothing else");
    config_file_option_ = app_.add_option("--config", config_file_, "a configuration file (TOML)");
    config_file_option_->type_name("FILE")->group("Data and log");
    for (const auto& setting : settings()) add(setting);
    config_ = app_.add_subcommand("config", "check the configuration, or show it with the origin of each value");
    check_ = config_->add_subcommand("check", "judge it: exit 0, or 2 with what is wrong");
    show_ = config_->add_subcommand("show", "print what would be used, and where each value comes from");
    show_->add_option("--output", output_, "text or json")->type_name("FORMAT")->check(CLI::IsMember({"text", "json"}));
    for (auto* command : {config_, check_, show_}) command->fallthrough();
    man_ = app_.add_subcommand("man", "print the manual page: man -l <(quantumharmony-node man)");
    completion_ = app_.add_subcommand("completion", "print what a shell completes with: completion bash|zsh|fish");
    completion_->add_option("shell", shell_, "bash, zsh or fish")
        ->required()
        ->type_name("SHELL")
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    add_wal();
  }

  CommandHelp tree() { return describe(app_); }

  tl::expected<CommandLine, Mistakes> parse(std::vector<std::string> arguments) {
    const auto given = arguments;
    if (auto wrong = judge_values(given); !wrong.empty()) return tl::unexpected(std::move(wrong));
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    try {
      app_.parse(arguments);
    } catch (const CLI::CallForHelp&) {
      return CommandLine{.action = Action::kHelp, .text = help(given), .config_file = {}, .flags = {}};
    } catch (const CLI::ExtrasError&) {
      return tl::unexpected(unknown());
    } catch (const CLI::ArgumentMismatch& error) {
      return tl::unexpected(Mistakes{without_value(error.what())});
    } catch (const CLI::ParseError& error) {
      return tl::unexpected(Mistakes{error.what()});
    }
    if (auto wrong = judge_commands(); !wrong.empty()) return tl::unexpected(std::move(wrong));
    CommandLine line;
    line.config_file = config_file_;
    line.json = output_ == "json";
    if (version_)
      line.action = Action::kVersion;
    else if (check_->parsed())
      line.action = Action::kConfigCheck;
    else if (show_->parsed())
      line.action = Action::kConfigShow;
    else if (man_->parsed())
      line.action = Action::kMan;
    else if (completion_->parsed())
      line = CommandLine{.action = Action::kCompletion, .text = shell_, .config_file = {}, .flags = {}};
    for (const auto& [setting, option] : options_) {
      if (option->count() != 0) line.flags[std::string(setting->name)] = {option->results(), flag_of(*setting)};
    }
    return line;
  }

 private:
  void add(const Setting& setting) {
    CLI::Option* option = nullptr;
    const auto flag = flag_of(setting);
    if (setting.form == Form::kFlag) {
      option = app_.add_flag(flag)->description(std::string(setting.meaning));
    } else {
      const auto shown = setting.show(Settings{});
      auto meaning = std::string(setting.meaning);
      if (setting.form != Form::kList && !shown.empty()) meaning += " [" + shown + "]";
      option = app_.add_option(flag)->description(meaning)->type_name(std::string(setting.value_name));
      if (setting.form == Form::kList)
        option->type_size(1)->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      else
        option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
    option->group(group_of(setting));
    options_.emplace_back(&setting, option);
  }

  /// Has arguments of its own: main() looks for it in front of everything else. It stands here to be described.
  void add_wal() {
    wal_ = app_.add_subcommand("wal", "look at a log, mend it, export and import: wal --help");
    wal_->prefix_command();
    wal_->add_option("--data-dir", unused_, "the node's data directory")->type_name("DIR");
    wal_->add_option("--name", unused_, "whose queue")->type_name("VALIDATOR");
    wal_->add_option("--config", unused_, "the node's configuration file")->type_name("FILE");
    wal_->add_option("--dir", unused_, "the queue's own directory, instead of the two")->type_name("QUEUE_DIRECTORY");
    auto* dump = wal_->add_subcommand("dump", "every file, segment and record, a line each");
    dump->add_option("--output", unused_, "text or json")->type_name("FORMAT")->check(CLI::IsMember({"text", "json"}));
    wal_->add_subcommand("verify", "read the whole log as a start would: exit 0 sound, 1 damaged");
    wal_->add_subcommand("repair", "save what can be read from a damaged log; the node must be stopped");
    wal_->add_subcommand("export", "every message on disk as a JSON line")
        ->add_flag("--ndjson", unused_flag_, "the only form there is");
    auto* import = wal_->add_subcommand("import", "store such lines durably; the node must be stopped");
    import->add_option("file", unused_, "the lines; - reads the standard input")->type_name("FILE|-");
    import->add_flag("--renumber", unused_flag_, "give every message a new id");
    import->add_flag("--dead-letters", unused_flag_, "dead letters come in as messages instead of being passed over");
    for (const auto name : settings_of_import()) {
      const auto* setting = find_setting(name);
      import->add_option(flag_of(*setting), unused_, std::string(setting->meaning))
          ->type_name(std::string(setting->value_name));
    }
    for (auto* command : wal_->get_subcommands({})) command->fallthrough();
  }

  /// What CLI11 would take: it reads the value of `--data-dir=` from the next argument, that of `--data-dir --dev` as a
  /// directory of this name, and 3 as true.
  Mistakes judge_values(const std::vector<std::string>& given) const {
    Mistakes mistakes;
    for (std::size_t i = 0; i < given.size(); ++i) {
      const auto eq = given[i].find('=');
      const auto name = given[i].substr(0, eq);
      if (!name.starts_with("--")) continue;
      const bool no_value = name == "--version" || name == "--help";
      if (eq != name.npos && no_value)
        mistakes.push_back(name + ": takes no value");
      else if (eq != name.npos && eq + 1 == given[i].size())
        mistakes.push_back(name + ": needs a value behind the =");
      else if (eq == name.npos && takes_value(name) && i + 1 < given.size() && given[i + 1].starts_with("--"))
        mistakes.push_back(without_value(name));
    }
    return mistakes;
  }

  const CLI::Option* option_of(const std::string& flag) const {
    const auto* option = app_.get_option_no_throw(flag);
    return option != nullptr ? option : show_->get_option_no_throw(flag);
  }

  bool takes_value(const std::string& flag) const {
    const auto* option = option_of(flag);
    return option != nullptr && option->get_items_expected_max() > 0;
  }

  /// Of a flag whose value is not there, by what CLI11 says of it: "config: --output: 1 required FORMAT missing".
  std::string without_value(const std::string& what) const {
    const auto from = std::min(what.find("--"), what.size());
    const auto flag = what.substr(from, what.find(':', from) - from);
    const auto* option = option_of(flag);
    return option == nullptr ? what : flag + ": needs a value, " + value_of(*option).first;
  }

  /// Nothing that was given is passed over.
  Mistakes judge_commands() const {
    if (wal_->parsed()) return {"wal: must come first, before every flag"};
    if (config_file_option_->count() != 0 && config_file_.empty()) return {"--config: expected FILE, got ''"};
    if (check_->parsed() && show_->parsed()) return {"config: check or show, not both"};
    const auto commands = app_.get_subcommands();
    if (commands.size() > 1)
      return {commands[0]->get_name() + " and " + commands[1]->get_name() + ": one command at a time"};
    if (config_->parsed() && !check_->parsed() && !show_->parsed()) return {"config: needs a command: check or show"};
    if (!man_->parsed() && !completion_->parsed()) return {};
    const auto is_given = [](const auto& option) { return option.second->count() != 0; };
    const auto flag = std::find_if(options_.begin(), options_.end(), is_given);
    if (flag == options_.end() && config_file_option_->count() == 0) return {};
    return {(flag != options_.end() ? flag_of(*flag->first) : "--config") + ": is not for " + commands[0]->get_name()};
  }

  static CommandHelp describe(CLI::App& app) {
    CommandHelp help{app.get_name(), app.get_description(), {}, {}};
    help.takes_flags_above = app.get_fallthrough();
    for (const auto* option : app.get_options()) {
      auto [value_name, words] = value_of(*option);
      if (option->get_lnames().empty()) {
        help.argument = std::move(value_name);
        help.words = std::move(words);
        continue;
      }
      FlagHelp flag{"--" + option->get_lnames().front(), "", option->get_description(), option->get_group()};
      if (option->get_items_expected_max() > 0) flag.value_name = value_name;
      flag.words = words.empty() ? words_of_flag(flag.name) : std::move(words);
      help.flags.push_back(std::move(flag));
    }
    for (auto* command : app.get_subcommands({})) help.commands.push_back(describe(*command));
    return help;
  }

  /// Its name, and the words that a check allows, which CLI11 writes as FORMAT:{text,json}.
  static std::pair<std::string, std::vector<std::string>> value_of(const CLI::Option& option) {
    auto name = option.get_type_name();
    std::vector<std::string> words;
    if (const auto brace = name.find(":{"); brace != name.npos) {
      words = split_words(name.substr(brace + 2, name.size() - brace - 3));
      name.resize(brace);
    }
    return {name, words};
  }

  /// A setting judges its words itself, wherever they come from.
  static std::vector<std::string> words_of_flag(const std::string& flag) {
    for (const auto& setting : settings()) {
      if (flag_of(setting) == flag) return {setting.words.begin(), setting.words.end()};
    }
    return {};
  }

  static std::vector<std::string> split_words(const std::string& text) {
    std::vector<std::string> words;
    for (std::size_t from = 0; from <= text.size();) {
      const auto comma = std::min(text.find(',', from), text.size());
      words.push_back(text.substr(from, comma - from));
      from = comma + 1;
    }
    return words;
  }

  std::string help(const std::vector<std::string>& given) const {
    const auto has = [&](std::string_view word) { return std::find(given.begin(), given.end(), word) != given.end(); };
    if (!has("config")) return app_.help();
    return has("show") ? show_->help() : has("check") ? check_->help() : config_->help();
  }

  Mistakes unknown() const {
    constexpr std::array<std::string_view, 3> kOthers{"config", "help", "version"};
    Mistakes mistakes;
    for (const auto& extra : app_.remaining(true)) {
      if (!extra.starts_with("-")) {
        if (mistakes.empty()) mistakes.push_back(extra + ": unknown command" + command_hint(extra));
        continue;
      }
      const auto name = extra.substr(0, extra.find('='));
      mistakes.push_back(name + ": unknown flag" + setting_hint(name, "--", flag_of, kOthers));
    }
    return mistakes;
  }

  static std::string command_hint(std::string_view word) {
    constexpr std::array<std::string_view, 6> kCommands{"config", "check", "show", "wal", "man", "completion"};
    return nearest_hint(word, kCommands);
  }

  CLI::App app_;
  CLI::Option* config_file_option_ = nullptr;
  CLI::App* config_ = nullptr;
  CLI::App* check_ = nullptr;
  CLI::App* show_ = nullptr;
  CLI::App* wal_ = nullptr;
  CLI::App* man_ = nullptr;
  CLI::App* completion_ = nullptr;
  bool version_ = false, unused_flag_ = false;
  std::string config_file_, output_, shell_, unused_;
  std::vector<std::pair<const Setting*, CLI::Option*>> options_;
};

}  // namespace

std::span<const std::string_view> settings_of_import() {
  static constexpr std::array<std::string_view, 6> kNames{"queue.max-depth",         "queue.max-bytes",
                                                          "queue.max-message-bytes", "queue.max-tx-bytes",
                                                          "queue.segment-bytes-min", "queue.segment-bytes-max"};
  return kNames;
}

CommandHelp command_tree() { return Parser().tree(); }

tl::expected<CommandLine, Mistakes> parse_command_line(const std::vector<std::string>& arguments) {
  Parser parser;
  return parser.parse(arguments);
}

}  // namespace qh::node
