// queue/log_tools.h - what `quantumharmony-node wal` does with a queue's directory.
//
//   LogTool tool(storage, clock, rng);
//   auto work = tool.repair();
//   work.start();
//   while (work.running()) { if (!tool.step()) ... let the storage complete, or time pass to tool.next_wakeup() }
//
// Durability  verify, dump and export change nothing and may run beside the queue's owner: when the log moved
//             away under them, they look again. repair and import need the directory to themselves (hold its
//             DirectoryLock) and are durable when they have answered.
// Options     bounds and ages are those of nobody: what is in the log stays, whatever the node would drop. An import
//             keeps to the node's bounds, but for its rates and the fifth that is kept for Critical kinds.
// Errors      kCorrupt names the file, the offset and what is lost. kTimeout: the log moved at every look until
//             `patience` was over. import: `line N: FIELD: ...`.
// Threads     one owner, the storage's. Destroy the tool when no completion of the storage can arrive.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/task.h"
#include "queue/engine.h"

namespace qh::queue {

class LogTool {
 public:
  using Sink = UniqueFunction<void(std::string_view line)>;

  struct Verdict {
    RecoveryReport report;                   ///< when sound
    std::optional<Error> damage;             ///< the first that a start would stop at
    std::vector<LostRange> lost;             ///< what a repair would lose
    std::vector<std::string> damaged_files;  ///< what a repair would set aside
    /// Nothing but a creation that was cut off, or goes on: a start makes the queue anew. Sound, with an empty report.
    bool half_made = false;
    bool sound() const { return !damage; }
  };
  struct Repaired {
    Verdict before;
    RecoveryReport salvaged;  ///< empty if the queue was sound: then nothing was changed
    Verdict after;
    std::vector<std::string> kept_aside;  ///< what has got another name, by that name
  };
  struct Imported {
    std::uint64_t messages = 0;
    std::uint64_t dead_letters = 0;   ///< lines that were passed over
    std::uint64_t already_there = 0;  ///< lines whose message the queue has: id, body and created_at
    std::uint64_t already_dead = 0;   ///< of these, those that are dead letters in it
    bool created = false;             ///< there was no queue before
  };
  struct ImportOptions {
    bool renumber = false;      ///< new ids, in the order of the lines
    bool dead_letters = false;  ///< dead letters come in as messages, without expires_at, instead of being passed over
    Options bounds = {};        ///< the node's: sizes and counts of messages, sizes of segments
  };

  LogTool(Storage& storage, Clock& clock, Rng& rng, Duration patience = std::chrono::seconds(10));
  ~LogTool();

  Task<Result<Verdict>> verify();
  Task<Result<Repaired>> repair();
  /// Every message that is on disk, dead letters included, by id: a line each, without its end. Answers how many.
  Task<Result<std::uint64_t>> export_lines(Sink sink);
  /// One line of an import, judged.
  struct ToImport {
    Submission submission;
    std::uint64_t line = 0;  ///< from 1
  };

  /// All lines are judged, and all of them together, before the first is stored. Empty lines are passed over. What
  /// the disk does meanwhile is said with how many were stored. They are stored by rising ids, so that the same import
  /// goes on where a process or a disk ended one: it passes over what is there. Not so when renumbering.
  Task<Result<Imported>> import_lines(std::string_view text, ImportOptions options);
  /// Files, segments and records, a line each: for people, or JSON; also of segments that the log has let go of, which
  /// are below the last head_segment. Of files beside the log their names alone, and what they are for. Answers how
  /// many records.
  Task<Result<std::uint64_t>> dump(bool json, Sink sink);

  /// Does what is due; false: nothing was.
  bool step();
  MonoTime next_wakeup() const;

 private:
  Task<Result<Options>> options_here();
  Task<Result<std::set<std::string>>> names_here();
  Task<Result<RecoveryReport>> open_steadily();
  Engine& new_engine(Options options);
  static Result<std::vector<ToImport>> judge(std::string_view text, const ImportOptions& how, Imported& imported);
  Task<Result<Options>> options_of_import(const Options& bounds);
  Task<Result<void>> store_smallest(std::vector<ToImport>& lines, Imported& imported);
  Task<Result<void>> store(std::vector<ToImport> lines, std::uint64_t& stored);

  Storage& storage_;
  Clock& clock_;
  Rng& rng_;
  Duration patience_;
  std::unique_ptr<Engine> engine_, before_;  ///< the one before may still be returning from its answer
  bool pump_wanted_ = false;
};

}  // namespace qh::queue
