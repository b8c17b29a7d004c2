// quantumharmony-node - runs validators. docs/configuration.md has its settings, docs/json-rpc.md what its ports
// answer.

#include <unistd.h>

#include <csignal>
#include <exception>
#include <string>
#include <system_error>
#include <vector>

#include "cli/completion.h"
#include "cli/man_page.h"
#include "node/command_line.h"
#include "node/config.h"
#include "node/limits.h"
#include "node/log.h"
#include "output.h"
#include "qh/version.h"
#include "serve/run_node.h"
#include "wal.h"

namespace {

using namespace qh::node;  // NOLINT(google-build-using-namespace)
using qh::app::print;

constexpr int kExitFailed = 1, kExitUsage = 2;

int usage_error(const Mistakes& mistakes) {
  std::string text;
  for (const auto& mistake : mistakes) text += "quantumharmony-node: " + mistake + "\n";
  say(text + "Try quantumharmony-node --help.");
  return kExitUsage;
}

tl::expected<Config, Mistakes> gather(const CommandLine& line) {
  Mistakes mistakes;
  std::string config_file;
  const auto environment = read_environment(environ, config_file, mistakes);
  if (!line.config_file.empty()) config_file = line.config_file;
  GivenFile file;
  if (!config_file.empty()) {
    auto read = read_config_file(config_file);
    if (read) {
      file = std::move(*read);
    } else {
      mistakes.insert(mistakes.end(), read.error().begin(), read.error().end());
    }
  }
  if (!mistakes.empty()) return tl::unexpected(std::move(mistakes));
  return make_config(line.flags, environment, file);
}

int check(const Config& config) {
  if (const auto files = qh::serve::check_files(config); !files) return usage_error({files.error().to_string()});
  std::string text = "ok:";
  for (const auto& validator : config.validators) text += " " + validator.name + " " + std::to_string(validator.port);
  return print(text + ", data in " + config.data_dir.string() + "\n"), 0;
}

int run(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && arguments.front() == "wal")
    return qh::app::run_wal({arguments.begin() + 1, arguments.end()});
  const auto line = parse_command_line(arguments);
  if (!line) return usage_error(line.error());
  if (line->action == Action::kHelp) return print(line->text), 0;
  if (line->action == Action::kVersion) return print("quantumharmony-node " + std::string(qh::kVersion) + "\n"), 0;
  if (line->action == Action::kMan) return print(qh::cli::man_page(command_tree(), qh::kVersion)), 0;
  if (line->action == Action::kCompletion) return print(*qh::cli::completion(command_tree(), line->text)), 0;
  const auto config = gather(*line);
  if (!config) return usage_error(config.error());
  switch (line->action) {
    case Action::kConfigCheck:
      return check(*config);
    case Action::kConfigShow:
      return print(line->json ? show_config_json(*config) : show_config(*config)), 0;
    default:
      return qh::serve::run_node(*config);
  }
}

}  // namespace

/// What no library's edge has turned into a Result ends here, as an error and not as a crash.
int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that is at its bound is an error of that write
  int code = kExitFailed;
  try {
    code = run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    say("quantumharmony-node: " + error_of(error, "cannot go on").to_string());
  }
  return qh::app::end_output(code);
}
