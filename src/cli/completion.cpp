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

bool is_path(std::string_view value_name) {
  return value_name == "FILE" || value_name == "FILE|-" || value_name == "DIR" || value_name == "QUEUE_DIRECTORY";
}

std::string case_function(const std::string& name, const std::string& cases, const char* otherwise = "") {
  return name + "() {\n  case \"$1\" in\n" + cases + "  esac\n" + otherwise + "}\n";
}

/// What bash and zsh ask alike: NAME_words PATH_OF_COMMANDS, NAME_values FLAG, and whether NAME_path FLAG (a value that
/// is a path), NAME_file PATH_OF_COMMANDS (an argument that is one), NAME_value FLAG (any value).
std::string questions(const CommandHelp& program, const std::string& name) {
  std::string words, values, paths, files, with_value;
  const auto add = [](std::string& cases, const std::string& pattern, const std::string& answer) {
    const auto one = "    " + pattern + ") " + answer + " ;;\n";
    if (cases.find(one) == cases.npos) cases += one;
  };
  const std::string yes = "return 0";
  auto visit = [&](const CommandHelp& command, const std::string& path, const Flags& flags) {
    add(words, in_quotes(path), "echo " + in_quotes(candidates(command, flags)));
    if (is_path(command.argument)) add(files, in_quotes(path), yes);
    for (const auto& flag : command.flags) {
      if (!flag.words.empty()) add(values, flag.name, "echo " + in_quotes(joined(flag.words)));
      if (is_path(flag.value_name)) add(paths, flag.name, yes);
      if (!flag.value_name.empty()) add(with_value, flag.name, yes);
    }
  };
  each_command(program, "", {}, visit);
  constexpr const char* kElseNo = "  return 1\n";
  return case_function(name + "_words", words) + case_function(name + "_values", values) +
         case_function(name + "_path", paths, kElseNo) + case_function(name + "_file", files, kElseNo) +
         case_function(name + "_value", with_value, kElseNo);
}

/// bash takes --flag=value apart into three words.
constexpr const char* kBash = R"sh(NAME() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} path='' skip='' word words
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ $word == = ]]; then skip=1; continue; fi
    if [[ -n $skip ]]; then skip=; continue; fi
    if NAME_value "$word"; then skip=1; continue; fi
    words=" $(NAME_words "$path") "
    if [[ $word != -* && $words == *" $word "* ]]; then path="${path:+$path }$word"; fi
  done
  if NAME_path "$previous"; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
  fi
  words=$(NAME_values "$previous")
  if [[ -n $words ]]; then path=; else words=$(NAME_words "$path"); fi
  mapfile -t COMPREPLY < <(
    compgen -W "$words" -- "$current"
    if NAME_file "$path"; then compgen -f -- "$current"; fi
  )
}
complete -o filenames -F NAME PROGRAM
)sh";

/// The function has the name of the file that zsh loads it from: then the file is its body once.
constexpr const char* kZsh = R"sh(_PROGRAM() {
  local previous=$words[CURRENT-1] at= skip= word
  local -a offered
  if [[ $PREFIX == --*=* ]]; then
    previous=${PREFIX%%=*}
    compset -P '*='
  fi
  for word in "${(@)words[2,CURRENT-1]}"; do
    if [[ -n $skip ]]; then skip=; continue; fi
    if NAME_value "$word"; then skip=1; continue; fi
    if [[ $word != -* && " $(NAME_words "$at") " == *" $word "* ]]; then at="${at:+$at }$word"; fi
  done
  if NAME_path "$previous"; then _files; return; fi
  offered=(${=$(NAME_values "$previous")})
  if (( $#offered == 0 )); then
    offered=(${=$(NAME_words "$at")})
    if NAME_file "$at"; then _files; fi
  fi
  compadd -a offered
}
if [[ $funcstack[1] == _PROGRAM ]]; then _PROGRAM "$@"; else compdef _PROGRAM PROGRAM; fi
)sh";

std::string with(std::string text, std::string_view place, const std::string& what) {
  for (auto at = text.find(place); at != text.npos; at = text.find(place, at)) text.replace(at, place.size(), what);
  return text;
}

std::string script_for(const CommandHelp& program, const char* function) {
  const auto name = "_" + identifier(program.name);
  return questions(program, name) + with(with(function, "NAME", name), "PROGRAM", program.name);
}

std::string bash(const CommandHelp& program) {
  return "# bash completion of " + program.name + ": source it, or put it into a completions directory.\n" +
         script_for(program, kBash);
}

std::string zsh(const CommandHelp& program) {
  return "#compdef " + program.name + "\n# zsh completion of " + program.name +
         ": source it behind compinit, or put it, as _" + program.name + ", into a directory of $fpath.\n" +
         script_for(program, kZsh);
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
    if (is_path(command.argument)) out += "complete -c " + program.name + when + " -F\n";
    for (const auto& below : command.commands) {
      const auto where = path.empty() ? " -n __fish_use_subcommand" : when;
      out += "complete -c " + program.name + where + " -f -a " + below.name + " -d " + in_quotes(below.meaning) + "\n";
    }
    for (const auto& flag : command.flags) {
      out += "complete -c " + program.name + when + " -l " + flag.name.substr(2) + " -d " + in_quotes(flag.meaning);
      if (!flag.value_name.empty()) out += is_path(flag.value_name) ? " -r -F" : " -x";
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
