#include "wal.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "base/directory_lock.h"
#include "base/file_storage.h"
#include "base/make_directories.h"
#include "base/read_file.h"
#include "crypto/random.h"
#include "node/command_line.h"
#include "node/config.h"
#include "queue/log_tools.h"

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

struct Arguments {
  std::string command, config_file, data_dir, name, dir, output = "text", file;
  node::GivenSettings settings;  ///< of an import
  bool renumber = false, dead_letters = false;
};

int usage(const std::string& what) {
  std::fprintf(stderr, "quantumharmony-node wal: %s\nTry quantumharmony-node wal --help.\n", what.c_str());
  return 2;
}

int failed(const Error& error) {
  std::fprintf(stderr, "quantumharmony-node wal: %s\n", error.to_string().c_str());
  return 1;
}

/// The setting whose flag this is, if an import keeps to it.
const node::Setting* setting_of_import(const std::string& flag) {
  for (const auto name : node::settings_of_import()) {
    const auto* setting = node::find_setting(name);
    if (node::flag_of(*setting) == flag) return setting;
  }
  return nullptr;
}

/// What is wrong, or nothing.
std::string parse(const std::vector<std::string>& words, Arguments& out) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    auto word = words[i];
    std::optional<std::string> value;
    if (const auto eq = word.find('='); word.starts_with("--") && eq != std::string::npos) {
      value = word.substr(eq + 1);
      word.resize(eq);
    }
    std::string bound;
    const auto* setting = setting_of_import(word);
    std::string* target = word == "--data-dir" ? &out.data_dir
                          : word == "--config" ? &out.config_file
                          : word == "--name"   ? &out.name
                          : word == "--dir"    ? &out.dir
                          : word == "--output" ? &out.output
                          : setting != nullptr ? &bound
                                               : nullptr;
    if (target != nullptr) {
      if (!value && i + 1 == words.size()) return word + ": needs a value";
      *target = value ? *value : words[++i];
      if (setting != nullptr) out.settings[std::string(setting->name)] = {{bound}, word};
    } else if (word == "--renumber") {
      out.renumber = true;
    } else if (word == "--dead-letters") {
      out.dead_letters = true;
    } else if (word == "--ndjson") {
      // the only form there is
    } else if (word.starts_with("--")) {
      return word + ": unknown flag";
    } else if (out.command.empty()) {
      out.command = word;
    } else if (out.command == "import" && out.file.empty()) {
      out.file = word;
    } else {
      return word + ": unexpected";
    }
  }
  constexpr std::string_view kCommands[] = {"dump", "verify", "repair", "export", "import"};
  if (out.command.empty()) return "which command? dump, verify, repair, export or import";
  if (std::find(std::begin(kCommands), std::end(kCommands), out.command) == std::end(kCommands)) {
    return out.command + ": unknown command; there are dump, verify, repair, export and import";
  }
  if (out.command != "import" && !out.settings.empty()) return out.settings.begin()->second.origin + ": is for import";
  if (out.output != "text" && out.output != "json") return "--output: expected text or json, got '" + out.output + "'";
  if (out.command == "import" && out.file.empty()) return "import: which FILE? - is the standard input";
  if (!out.dir.empty() && (!out.name.empty() || !out.data_dir.empty()))
    return "--dir: not together with --data-dir or --name";
  return {};
}

/// The node's, from where the node has it; or what is wrong.
std::string read_config(const Arguments& arguments, std::optional<node::Config>& out) {
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
std::string find_directory(const Arguments& arguments, const std::optional<node::Config>& config, fs::path& directory) {
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

bool print_line(std::string_view line) {
  return std::fwrite(line.data(), 1, line.size(), stdout) == line.size() && std::fputc('\n', stdout) != EOF;
}

void print_lost(const std::vector<queue::LostRange>& lost, const char* what) {
  for (const auto& one : lost) {
    std::printf("%s: %s, offset %llu: ", what, one.file.c_str(), static_cast<unsigned long long>(one.offset));
    const auto from = static_cast<unsigned long long>(one.from_seq), to = static_cast<unsigned long long>(one.to_seq);
    if (to < from && to + 1 == from)
      std::printf("no record");
    else if (to < from)
      std::printf("all records from %llu on, nobody knows how many", from);
    else if (from == 0)
      std::printf("records up to %llu", to);
    else
      std::printf("records %llu to %llu", from, to);
    std::printf("%s (%s)\n", one.at_least && to >= from ? " at least, nobody knows how many more" : "",
                one.why.c_str());
  }
}

void print_report(const queue::RecoveryReport& report) {
  for (const auto& note : report.notes) std::printf("note: %s\n", note.c_str());
  std::printf("segments %llu, records %llu, messages %llu, dead letters %llu, torn bytes %llu\n",
              static_cast<unsigned long long>(report.segments), static_cast<unsigned long long>(report.records),
              static_cast<unsigned long long>(report.messages), static_cast<unsigned long long>(report.dead_letters),
              static_cast<unsigned long long>(report.torn_bytes));
}

constexpr const char* kHalfMade =
    "sound: a queue whose creation was cut off, or goes on; nothing was stored in it, and a start makes it anew";

int verify(Work& work) {
  const auto verdict = work.finish(work.tool->verify());
  if (!verdict) return work.failed(verdict.error());
  if (verdict->half_made) return std::puts(kHalfMade), 0;
  if (verdict->sound()) return print_report(verdict->report), std::puts("sound"), 0;
  std::printf("damaged: %s\n", verdict->damage->to_string().c_str());
  print_lost(verdict->lost, "would be lost");
  for (const auto& note : verdict->report.notes) std::printf("note: %s\n", note.c_str());
  std::puts("`quantumharmony-node wal repair` saves the rest; copy the directory first");
  return 1;
}

int repair(Work& work) {
  const auto repaired = work.finish(work.tool->repair());
  if (!repaired) return work.failed(repaired.error());
  if (repaired->before.half_made) return std::puts(kHalfMade), 0;
  if (repaired->before.sound()) {
    print_report(repaired->before.report);
    std::puts("sound: nothing was changed");
    return 0;
  }
  std::printf("damaged: %s\n", repaired->before.damage->to_string().c_str());
  print_lost(repaired->salvaged.lost, "lost");
  print_report(repaired->salvaged);
  for (const auto& file : repaired->kept_aside) std::printf("kept aside: %s\n", file.c_str());
  if (!repaired->salvaged.lost.empty()) {
    std::puts(
        "Messages in a lost range are gone; those whose end (take, ack) stood in one are back and may be handed out "
        "again.");
  }
  if (!repaired->after.sound()) return failed(Error(*repaired->after.damage).in("still damaged"));
  std::puts("repaired: the queue opens normally");
  return 0;
}

int import(Work& work, const Arguments& arguments, const queue::Options& bounds, const std::string& text) {
  const auto done = work.finish(work.tool->import_lines(text, {arguments.renumber, arguments.dead_letters, bounds}));
  if (!done) {
    if (done.error().code == Errc::kExists) std::fputs("--renumber gives every line a new id.\n", stderr);
    return work.failed(done.error());
  }
  std::printf("imported %llu messages into %s%s\n", static_cast<unsigned long long>(done->messages),
              done->created ? "a new queue, " : "", work.directory().c_str());
  if (done->already_there > 0) {
    std::printf("passed over %llu messages that are there already",
                static_cast<unsigned long long>(done->already_there));
    if (done->already_dead > 0)
      std::printf(", %llu of them as dead letters", static_cast<unsigned long long>(done->already_dead));
    std::puts("");
  }
  if (done->dead_letters > 0)
    std::printf("passed over %llu dead letters (--dead-letters imports them as messages)\n",
                static_cast<unsigned long long>(done->dead_letters));
  return 0;
}

}  // namespace

int run_wal(const std::vector<std::string>& words) {
  if (std::any_of(words.begin(), words.end(), [](const auto& w) { return w == "--help" || w == "-h"; })) {
    return std::fputs(kUsage, stdout) < 0 ? 1 : 0;
  }
  Arguments arguments;
  if (const auto wrong = parse(words, arguments); !wrong.empty()) return usage(wrong);
  std::optional<node::Config> config;
  // Whoever only looks at a directory needs none.
  if (arguments.dir.empty() || arguments.command == "import" || !arguments.config_file.empty()) {
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
    if (auto made = make_queue_directory(directory, arguments.dir.empty()); !made) return failed(made.error());
  }
  Work work;
  if (auto opened = work.open(directory, access); !opened) return failed(opened.error());
  if (arguments.command == "verify") return verify(work);
  if (arguments.command == "repair") return repair(work);
  if (arguments.command == "import") return import(work, arguments, config->settings.queue, text);
  bool written = true;
  auto sink = [&written](std::string_view line) { written = written && print_line(line); };
  const auto done = arguments.command == "dump" ? work.finish(work.tool->dump(arguments.output == "json", sink))
                                                : work.finish(work.tool->export_lines(sink));
  if (!done) return work.failed(done.error());
  if (!written || std::fflush(stdout) != 0) return failed(Error(Errc::kIo, "write the output", errno));
  return 0;
}

}  // namespace qh::app
