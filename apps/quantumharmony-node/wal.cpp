#include "wal.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "base/directory_lock.h"
#include "base/file_storage.h"
#include "base/make_directories.h"
#include "base/read_file.h"
#include "crypto/random.h"
#include "node/config.h"
#include "node/remedy.h"
#include "output.h"
#include "queue/log_tools.h"
#include "wal_arguments.h"

namespace qh::app {
namespace {

namespace fs = std::filesystem;
using queue::LogTool;

constexpr const char* kUsage =
    "quantumharmony-node wal COMMAND [--config FILE] [--data-dir DIR] [--name VALIDATOR] | [--dir QUEUE_DIRECTORY]\n"
    "\n"
    "  dump [--output text|json]   every record of every segment, a line each, identity and mark, and the names of "
    "the\n"
    "                              files beside them; what stands in segments below the last head_segment is not "
    "needed\n"
    "                              any more\n"
    "  verify                      read the whole log as a start would: exit 0 sound, 1 damaged\n"
    "  repair                      save what can be read from a damaged log; the node must be stopped\n"
    "  export [--ndjson]           every message on disk as a JSON line; dead letters have dead_letter\n"
    "  import FILE|- [--renumber] [--dead-letters]\n"
    "                              store such lines durably, once all have been judged; the node must be stopped\n"
    "\n"
    "An import keeps to the bounds of the node: give it the configuration that the node has, by --config FILE, by\n"
    "QUANTUMHARMONY_CONFIG and the other variables, or by these flags of the node's: --queue-max-message-bytes,\n"
    "--queue-max-tx-bytes, --queue-max-depth, --queue-max-bytes, --queue-segment-bytes-min, "
    "--queue-segment-bytes-max.\n"
    "\n"
    "dump, verify and export change nothing and may run beside the node. Messages that are only in memory are in\n"
    "none; idempotency keys are not exported, so a submit that is repeated after an import is stored again.\n"
    "Deliveries are not imported: every message has all of its tries again.\n"
    "\n"
    "An import passes over what is there already with its id, so one that was cut off goes on when it is repeated. An "
    "id\n"
    "that the queue has given to another message is refused: --renumber gives every line a new one, and stores each "
    "line\n"
    "again at every repeat.\n"
    "Exit: 0 done, 1 failed or damaged, 2 usage.\n";

int usage(const std::string& what) {
  std::fprintf(stderr, "quantumharmony-node wal: %s\nTry quantumharmony-node wal --help.\n", what.c_str());
  return 2;
}

int failed(const Error& error) {
  std::fprintf(stderr, "quantumharmony-node wal: %s\n", error.to_string().c_str());
  return 1;
}

int failed_to_write(Error error) { return failed(node::with_remedy(std::move(error))); }

/// The node's, from where the node has it; or what is wrong.
std::string read_config(const WalArguments& arguments, std::optional<node::Config>& out) {
  node::Mistakes mistakes;
  std::string config_file;
  const auto environment = node::read_environment(environ, config_file, mistakes);
  if (!mistakes.empty()) return mistakes.front();
  if (!arguments.config_file.empty()) config_file = arguments.config_file;
  auto flags = arguments.settings;
  if (!arguments.data_dir.empty()) flags["data-dir"] = {{arguments.data_dir}, "--data-dir"};
  node::GivenFile file;
  if (!config_file.empty()) {
    auto read = node::read_config_file(config_file);
    if (!read) return read.error().front();
    file = std::move(*read);
  }
  auto config = node::make_config(flags, environment, file);
  if (!config) return config.error().front();
  out = std::move(*config);
  return {};
}

/// Those that have a queue there.
std::vector<std::string> names_in(const fs::path& data_dir) {
  std::vector<std::string> names;
  std::error_code error, ignored;
  for (fs::directory_iterator entry(data_dir, error), end; !error && entry != end; entry.increment(error)) {
    if (fs::is_directory(entry->path() / "queue", ignored)) names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// The queue's directory, or what is wrong.
std::string find_directory(const WalArguments& arguments, const std::optional<node::Config>& config,
                           fs::path& directory) {
  if (!arguments.dir.empty()) return directory = arguments.dir, std::string();
  auto name = arguments.name;
  if (!name.empty() && !node::is_validator_name(name))
    return "--name: '" + name + "' is no name for a validator: " + std::string(node::kValidatorNames);
  const auto names = names_in(config->data_dir);
  if (name.empty() && names.size() == 1) name = names.front();
  if (name.empty()) {
    std::string all;
    for (const auto& one : names) all += " " + one;
    if (names.empty())
      return "no validator has a queue in " + config->data_dir.string() + ": give --data-dir DIR or --dir PATH";
    return "whose queue? --name is one of:" + all;
  }
  directory = config->data_dir / name / "queue";
  return {};
}

/// As a node makes it: nobody else reads what is in it. `directory` is the queue's, in that of its validator; that one
/// is the validator's for sure where it was named, or made here. A directory that was there otherwise stays as it is.
Result<void> make_queue_directory(const fs::path& directory, bool by_name) {
  std::error_code ignored;
  const auto above = (fs::absolute(directory, ignored) / "").parent_path().parent_path();
  const auto own = by_name || !fs::exists(above, ignored) ? above : directory;
  const auto made = make_directories(directory);
  if (!made) return fail(made.error());
  if (*made) fs::permissions(own, fs::perms::owner_all, ignored);
  return {};
}

class Work {
 public:
  /// To write one must be alone.
  Result<void> open(const fs::path& directory, FileStorage::Access access) {
    directory_ = directory;
    std::error_code error;
    if (!fs::is_directory(directory, error))
      return fail(Errc::kNotFound, directory.string() + ": there is no such directory");
    if (access == FileStorage::Access::kReadWrite) {
      auto locked = DirectoryLock::acquire(directory, "quantumharmony-node wal", clock_.wall());
      if (!locked && locked.error().code == Errc::kBusy) {
        return fail(Errc::kBusy, locked.error().context + ": stop it first");
      }
      if (!locked) return fail(std::move(locked.error()));
      lock_.emplace(std::move(*locked));
    }
    FileStorage::Options options;
    options.placement = FileStorage::Placement::kInline;
    options.access = access;
    options.write_method = WriteMethod::kFdatasync;  // nobody waits for a faster one
    auto storage = FileStorage::open(directory, std::move(options));
    if (!storage) return fail(std::move(storage.error()));
    storage_ = std::move(*storage);
    tool.emplace(*storage_, clock_, rng_);
    return {};
  }

  const fs::path& directory() const { return directory_; }
  int failed(Error error) const { return app::failed(std::move(error).in(directory_.string())); }
  int failed_to_write(Error error) const { return app::failed_to_write(std::move(error).in(directory_.string())); }

  template <class T>
  T finish(Task<T> work) {
    work.start();
    while (work.running()) {
      if (tool->step() || storage_->poll() > 0) continue;
      const auto next = std::min(tool->next_wakeup(), clock_.mono() + std::chrono::seconds(1));
      if (storage_->wait(next)) continue;
      const auto left = (next - clock_.mono()).count();
      if (left <= 0) continue;
      const timespec time{left / 1'000'000'000, left % 1'000'000'000};
      ::nanosleep(&time, nullptr);
    }
    return work.result();
  }

 private:
  fs::path directory_;
  SystemClock clock_;
  crypto::SystemRng rng_;
  std::optional<DirectoryLock> lock_;
  std::unique_ptr<FileStorage> storage_;

 public:
  std::optional<LogTool> tool;
};

bool is_empty(const queue::LostRange& lost) { return lost.to_seq + 1 == lost.from_seq; }

std::string records_of(const queue::LostRange& lost) {
  const auto from = lost.from_seq, to = lost.to_seq;
  if (is_empty(lost)) return "no record";
  if (to < from) return fmt::format("all records from {} on, nobody knows how many", from);
  const auto more = lost.at_least ? " at least, nobody knows how many more" : "";
  return from == 0 ? fmt::format("records up to {}{}", to, more) : fmt::format("records {} to {}{}", from, to, more);
}

void print_lost(const std::vector<queue::LostRange>& lost, std::string_view what) {
  for (const auto& one : lost)
    print(fmt::format("{}: {}, offset {}: {} ({})\n", what, one.file, one.offset, records_of(one), one.why));
}

void print_notes(const queue::RecoveryReport& report) {
  for (const auto& note : report.notes) print_line("note: " + note);
}

void print_report(const queue::RecoveryReport& report) {
  print_notes(report);
  print(fmt::format("segments {}, records {}, messages {}, dead letters {}, torn bytes {}\n", report.segments,
                    report.records, report.messages, report.dead_letters, report.torn_bytes));
}

constexpr const char* kHalfMade =
    "sound: a queue whose creation was cut off, or goes on; nothing was stored in it, and a start makes it anew";

int verify(Work& work) {
  const auto verdict = work.finish(work.tool->verify());
  if (!verdict) return work.failed(verdict.error());
  if (verdict->half_made) return print_line(kHalfMade), 0;
  if (verdict->sound()) return print_report(verdict->report), print_line("sound"), 0;
  print_line("damaged: " + verdict->damage->to_string());
  print_lost(verdict->lost, "would be lost");
  print_notes(verdict->report);
  print_line("`quantumharmony-node wal repair` saves the rest; copy the directory first");
  return 1;
}

int repair(Work& work) {
  const auto repaired = work.finish(work.tool->repair());
  if (!repaired) return work.failed_to_write(repaired.error());
  if (repaired->before.half_made) return print_line(kHalfMade), 0;
  if (repaired->before.sound()) {
    print_report(repaired->before.report);
    print_line("sound: nothing was changed");
    return 0;
  }
  print_line("damaged: " + repaired->before.damage->to_string());
  print_lost(repaired->salvaged.lost, "lost");
  print_report(repaired->salvaged);
  for (const auto& file : repaired->kept_aside) print_line("kept aside: " + file);
  if (!std::ranges::all_of(repaired->salvaged.lost, is_empty)) {
    print_line(
        "Messages in a lost range are gone; those whose end (take, ack) stood in one are back and may be handed out "
        "again.");
  }
  if (!repaired->after.sound()) return failed(Error(*repaired->after.damage).in("still damaged"));
  print_line("repaired: the queue opens normally");
  return 0;
}

int import(Work& work, const WalArguments& arguments, const queue::Options& bounds, const std::string& text) {
  const auto done = work.finish(work.tool->import_lines(text, {arguments.renumber, arguments.dead_letters, bounds}));
  if (!done) {
    if (done.error().code == Errc::kExists) std::fputs("--renumber gives every line a new id.\n", stderr);
    return work.failed_to_write(done.error());
  }
  print(fmt::format("imported {} messages into {}{}\n", done->messages, done->created ? "a new queue, " : "",
                    work.directory().string()));
  if (done->already_there > 0) {
    const auto dead = done->already_dead > 0 ? fmt::format(", {} of them as dead letters", done->already_dead) : "";
    print(fmt::format("passed over {} messages that are there already{}\n", done->already_there, dead));
  }
  if (done->dead_letters > 0)
    print(fmt::format("passed over {} dead letters (--dead-letters imports them as messages)\n", done->dead_letters));
  return 0;
}

}  // namespace

int run_wal(const std::vector<std::string>& words) {
  if (std::any_of(words.begin(), words.end(), [](const auto& w) { return w == "--help" || w == "-h"; })) {
    return print(kUsage), 0;
  }
  WalArguments arguments;
  if (const auto wrong = parse_wal(words, arguments); !wrong.empty()) return usage(wrong);
  std::optional<node::Config> config;
  // Whoever only looks at a directory needs none.
  if (arguments.dir.empty() || arguments.command == "import") {
    if (const auto wrong = read_config(arguments, config); !wrong.empty()) return usage(wrong);
  }
  fs::path directory;
  if (const auto wrong = find_directory(arguments, config, directory); !wrong.empty()) return usage(wrong);
  std::string text;
  if (arguments.command == "import") {
    constexpr auto kNoBound = UINT64_MAX;
    auto read = arguments.file == "-" ? read_descriptor(STDIN_FILENO, "the standard input", kNoBound)
                                      : read_file(arguments.file, kNoBound);
    if (!read) return failed(read.error());
    text = std::move(*read);
  }
  const bool changes = arguments.command == "repair" || arguments.command == "import";
  const auto access = changes ? FileStorage::Access::kReadWrite : FileStorage::Access::kReadOnly;
  if (arguments.command == "import") {
    if (auto made = make_queue_directory(directory, arguments.dir.empty()); !made) return failed_to_write(made.error());
  }
  Work work;
  if (auto opened = work.open(directory, access); !opened)
    return changes ? failed_to_write(opened.error()) : failed(opened.error());
  if (arguments.command == "verify") return verify(work);
  if (arguments.command == "repair") return repair(work);
  if (arguments.command == "import") return import(work, arguments, config->settings.queue, text);
  auto sink = [](std::string_view line) { print_line(line); };
  const auto done = arguments.command == "dump" ? work.finish(work.tool->dump(arguments.output == "json", sink))
                                                : work.finish(work.tool->export_lines(sink));
  return done ? 0 : work.failed(done.error());
}

}  // namespace qh::app
