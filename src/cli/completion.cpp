#include "cli/completion.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace qh::cli {
namespace {

using node::CommandHelp;
using node::FlagHelp;

/// In single quotes, for a POSIX shell.
std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c == '\n' ? ' ' : c;
  }
  return out + "'";
}

std::string identifier(std::string_view name) {
  std::string out(name);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == '-' || c == ' '; }, '_');
  return out;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

using Flags = std::vector<FlagHelp>;

/// Its own, and those of the commands above that may follow it.
Flags flags_of(const CommandHelp& command, const Flags& above) {
  auto flags = command.flags;
  if (!command.takes_flags_above) return flags;
  std::copy_if(above.begin(), above.end(), std::back_inserter(flags), [&](const FlagHelp& flag) {
    return std::none_of(command.flags.begin(), command.flags.end(),
                        [&](const FlagHelp& own) { return own.name == flag.name; });
  });
  return flags;
}

/// Calls `visit` with each command, the words that lead to it and the flags that it takes, the program itself first.
template <class Visit>  // void(const CommandHelp&, const std::string& path, const Flags&)
void each_command(const CommandHelp& command, const std::string& path, const Flags& above, Visit& visit) {
  const auto flags = flags_of(command, above);
  visit(command, path, flags);
  for (const auto& below : command.commands)
    each_command(below, path.empty() ? below.name : path + " " + below.name, flags, visit);
}

std::string candidates(const CommandHelp& command, const Flags& flags) {
  auto words = command.words;
  for (const auto& below : command.commands) words.push_back(below.name);
  for (const auto& flag : flags) words.push_back(flag.name);
  return joined(words);
}

bool wants_path(const FlagHelp& flag) {
  return flag.value_name == "FILE" || flag.value_name == "DIR" || flag.value_name == "QUEUE_DIRECTORY";
}

std::string bash(const CommandHelp& program) {
  std::string words, values, paths;
  auto visit = [&](const CommandHelp& command, const std::string& path, const Flags& flags) {
    words += "    " + in_quotes(path) + ") echo " + in_quotes(candidates(command, flags)) + " ;;\n";
    for (const auto& flag : command.flags) {
      if (!flag.words.empty()) values += "    " + flag.name + ") echo " + in_quotes(joined(flag.words)) + " ;;\n";
      if (wants_path(flag) && paths.find(flag.name + ")") == paths.npos)
        paths += "    " + flag.name + ") return 0 ;;\n";
    }
  };
  each_command(program, "", {}, visit);
  const auto name = "_" + identifier(program.name);
  return "# bash completion of " + program.name + ": source it, or put it into a completions directory.\n" + name +
         "_words() {\n  case \"$1\" in\n" + words + "  esac\n}\n" + name + "_values() {\n  case \"$1\" in\n" + values +
         "  esac\n}\n" + name + "_path() {\n  case \"$1\" in\n" + paths + "  esac\n  return 1\n}\n" + name +
         R"(() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} path= word words
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    words=" $()" +
         name + R"(_words "$path") "
    if [[ $word != -* && $words == *" $word "* ]]; then path="${path:+$path }$word"; fi
  done
  if )" + name +
         R"(_path "$previous"; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
  fi
  words=$()" +
         name + R"(_values "$previous")
  if [[ -z $words ]]; then words=$()" +
         name + R"(_words "$path"); fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o filenames -F )" +
         name + " " + program.name + "\n";
}

std::string zsh(const CommandHelp& program) {
  return "#compdef " + program.name +
         "\n# The same as for bash, which zsh can carry.\nautoload -U +X bashcompinit && " + "bashcompinit\n" +
         bash(program);
}

std::string fish(const CommandHelp& program) {
  std::string out = "# fish completion of " + program.name + ".\n";
  // A command that does not take the program's flags has none of them behind it.
  std::string others;
  for (const auto& below : program.commands) others += below.takes_flags_above ? "" : " " + below.name;
  const auto of_program =
      others.empty() ? std::string() : " -n " + in_quotes("not __fish_seen_subcommand_from" + others);
  auto visit = [&](const CommandHelp& command, const std::string& path, const Flags&) {
    const auto last = path.substr(path.rfind(' ') == path.npos ? 0 : path.rfind(' ') + 1);
    const auto when = path.empty() ? of_program : " -n " + in_quotes("__fish_seen_subcommand_from " + last);
    if (!command.words.empty())
      out += "complete -c " + program.name + when + " -f -a " + in_quotes(joined(command.words)) + "\n";
    for (const auto& below : command.commands) {
      const auto where = path.empty() ? " -n __fish_use_subcommand" : when;
      out += "complete -c " + program.name + where + " -f -a " + below.name + " -d " + in_quotes(below.meaning) + "\n";
    }
    for (const auto& flag : command.flags) {
      out += "complete -c " + program.name + when + " -l " + flag.name.substr(2) + " -d " + in_quotes(flag.meaning);
      if (!flag.value_name.empty()) out += wants_path(flag) ? " -r -F" : " -x";
      if (!flag.words.empty()) out += " -a " + in_quotes(joined(flag.words));
      out += '\n';
    }
  };
  each_command(program, "", {}, visit);
  return out;
}

}  // namespace

std::optional<std::string> completion(const CommandHelp& program, std::string_view shell) {
  if (shell == "bash") return bash(program);
  if (shell == "zsh") return zsh(program);
  if (shell == "fish") return fish(program);
  return std::nullopt;
}

}  // namespace qh::cli
