#include "cli/man_page.h"

#include <algorithm>
#include <vector>

namespace qh::cli {
namespace {

/// A hyphen is a minus here, and nothing at a line's begin is a request.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\n') {
      out += "\n.br\n";
    } else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
      out += "\\&";
      out += c;
    } else {
      out += c;
    }
  }
  return out;
}

void write_flag(const node::FlagHelp& flag, std::string& out) {
  out += ".TP\n.B " + roff(flag.name);
  if (!flag.value_name.empty()) out += " \\fI" + roff(flag.value_name) + "\\fR";
  out += "\n" + roff(flag.meaning) + "\n";
}

std::vector<std::string> groups_of(const node::CommandHelp& command) {
  std::vector<std::string> groups;
  for (const auto& flag : command.flags) {
    if (std::find(groups.begin(), groups.end(), flag.group) == groups.end()) groups.push_back(flag.group);
  }
  return groups;
}

void write_command(const node::CommandHelp& command, const std::string& path, std::string& out) {
  const auto name = path.empty() ? command.name : path + " " + command.name;
  out += ".TP\n.B " + roff(name);
  if (!command.argument.empty()) out += " \\fI" + roff(command.argument) + "\\fR";
  out += "\n" + roff(command.meaning) + "\n";
  if (!command.flags.empty()) {
    out += ".RS\n";
    for (const auto& flag : command.flags) {
      if (flag.name != "--help") write_flag(flag, out);
    }
    out += ".RE\n";
  }
  for (const auto& below : command.commands) write_command(below, name, out);
}

}  // namespace

std::string man_page(const node::CommandHelp& program, std::string_view version) {
  std::string out = ".TH " + program.name + " 1 \"\" \"" + std::string(version) + "\"\n";
  const auto line = program.meaning.substr(0, program.meaning.find_first_of(".\n"));
  out += ".SH NAME\n" + roff(program.name) + " \\- " + roff(line) + "\n";
  out += ".SH SYNOPSIS\n.B " + roff(program.name) + "\n[\\fIFLAGS\\fR] [\\fICOMMAND\\fR]\n";
  out += ".SH DESCRIPTION\n" + roff(program.meaning) + "\n";
  for (const auto& group : groups_of(program)) {
    out += ".SH " + roff(group == "Options" ? "GENERAL" : group) + "\n";
    for (const auto& flag : program.flags) {
      if (flag.group == group) write_flag(flag, out);
    }
  }
  out += ".SH COMMANDS\n";
  for (const auto& command : program.commands) write_command(command, "", out);
  out +=
      ".SH EXIT STATUS\n0 stopped, or done; 1 failed; 2 usage; 5 the graceful stop took longer than its "
      "bound; 130 or 143 a second SIGINT or SIGTERM ended it.\n"
      ".SH ENVIRONMENT\nEach flag of the node but \\-\\-help and \\-\\-version is a variable: \\-\\-data\\-dir is "
      "QUANTUMHARMONY_DATA_DIR. "
      "QUANTUMHARMONY_CONFIG names a configuration file. NO_COLOR takes the colours off the start\\-up screen.\n"
      ".SH FILES\nWithout \\-\\-data\\-dir the data is in $XDG_STATE_HOME/quantumharmony or "
      "~/.local/state/quantumharmony, a directory a validator.\n"
      ".SH SIGNALS\nSIGTERM and SIGINT stop it gracefully, and so does SIGHUP on a terminal; a second SIGTERM or "
      "SIGINT, a second or more behind the first, ends it at once, without what is only in memory. "
      "Without a terminal SIGHUP changes nothing: configuration and tokens are read at a start only.\n";
  return out;
}

}  // namespace qh::cli
