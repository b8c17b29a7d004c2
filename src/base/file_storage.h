// base/file_storage.h - Storage over a real directory.
//
//   auto storage = FileStorage::open("/var/lib/x/queue", {.wake = [&] { loop.post([&] { storage->poll(); }); }});
//
// Durability  as base/storage.h. How a durable write is done is measured at open() (storage_probe.h)
//             or forced. A file on which O_DIRECT is refused is written by RWF_DSYNC. After a failed
//             durable write or sync every later one of that open file answers the same error; after a
//             failed sync_directory() every later one does.
// Errors      base/file_storage_error.h has the codes. kBusy: more than `in_flight_max` operations are
//             in flight. A name that is no plain file name is kInvalid. With kReadOnly whatever would
//             change the directory is kNotPermitted, and nothing is measured.
// Order       operations in flight may complete in any order. What was completed before is seen by all.
// Threads     one owner, on whose thread completions come: from inside the call when it runs inline,
//             else from poll(). With kInline there are no threads; else `executor_threads` for durable
//             writes and one for all else. A completion may start operations, but not destroy the
//             storage. Destroying it waits for the system calls that run, drops what has not started,
//             and drops the completions that were not delivered.
// Files       mode 0600, descriptors close on exec; two descriptors a file where O_DIRECT works.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>

#include "base/clock.h"
#include "base/storage.h"
#include "base/storage_probe.h"

namespace qh {

class FileStorage final : public Storage {
 public:
  enum class Placement : std::uint8_t {
    kAdaptive,  ///< durable writes below kLargeWriteBytes inline while the disk is quick; all else on the executor
    kInline,    ///< everything inside the call: for tools that do nothing else
    kExecutor,  ///< everything on the executor
  };

  enum class Access : std::uint8_t { kReadWrite, kReadOnly };

  struct Options {
    Access access = Access::kReadWrite;
    WriteMethod write_method = WriteMethod::kAuto;
    Placement placement = Placement::kAdaptive;
    unsigned executor_threads = 1;  ///< durable writes that may run at the same time off the owner's thread
    std::size_t in_flight_max = 4096;
    /// kAdaptive: a durable write that takes this long sends the next ones to the executor ...
    Duration slow_write = std::chrono::milliseconds(2);
    /// ... until this many in a row were quicker.
    unsigned quick_writes_to_return = 64;
    /// Called on an executor's thread when the first completion waits for poll().
    UniqueFunction<void()> wake = nullptr;
    /// Measures the writes, from several threads; nullptr: the system's. For tests.
    Clock* clock = nullptr;
    /// True while a durable write runs inside the call: for others, who see that the owner stands still and ask why.
    /// Outlives the storage; nullptr: nobody asks.
    std::atomic<bool>* in_call = nullptr;
  };

  /// The directory must exist (kNotFound). kInvalid: the forced `write_method` does not work in it.
  static Result<std::unique_ptr<FileStorage>> open(const std::filesystem::path& directory, Options options);
  ~FileStorage() override;

  void open(std::string name, OpenMode mode, Done<FileId> done) override;
  void close(FileId file) override;
  void read(FileId file, std::uint64_t offset, std::span<std::byte> into, ReadPath path,
            Done<std::size_t> done) override;
  void write(FileId file, std::uint64_t offset, ByteView bytes, Durability durability, Done<void> done) override;
  void sync(FileId file, Done<void> done) override;
  void zero_fill(FileId file, std::uint64_t from, std::uint64_t to, Done<void> done) override;
  void truncate(FileId file, std::uint64_t bytes, Done<void> done) override;
  void rename(std::string from, std::string to, Done<void> done) override;
  void remove(std::string name, Done<void> done) override;
  /// Regular files only, sorted by name.
  void list(Done<std::vector<Entry>> done) override;
  void sync_directory(Done<void> done) override;
  void free_space(Done<std::uint64_t> done) override;
  /// Whether the path that it was opened by still leads to its directory, and `name` stands in that: false where one
  /// of the two was removed, moved away or replaced, or something was mounted over it. An error: it cannot be told.
  void is_there(std::string name, Done<bool> done);

  /// Delivers the completions that wait; answers how many.
  std::size_t poll();
  /// Blocks until poll() has something to deliver (true), the deadline passes or nothing is in flight (false).
  bool wait(MonoTime deadline);

  std::size_t in_flight() const;
  WriteMethod method() const;
  const ProbeReport& probe_report() const;
  /// Whether the next durable write, if it is not a large one, runs inside the call.
  bool writes_inline() const;

 private:
  struct Impl;
  explicit FileStorage(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qh
