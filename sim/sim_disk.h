// sim/sim_disk.h - Storage in virtual time, that tears, reorders, loses and refuses.
//
//   SimWorld world(seed);
//   SimDisk disk(world, seed);
//   ... give `disk` to the code under test, world.run_one() as long as wanted ...
//   disk.power_cut(seed);  // destroy the code under test, before or after
//   disk.reboot();         // the next life starts here, with what survived
//
// Durability  as base/storage.h, and not a bit more: what no completed sync covered survives a power cut
//             whole, in sectors or not at all; an operation in flight has happened, in part or not.
//             process_kill() keeps what reached the page cache. See sim_inode.h and sim_directory.h.
// Order       an operation takes effect when it completes, so those in flight at the same time may take
//             effect in any order; sync covers what had completed when it was asked for.
// Errors      as FileStorage: the same codes, and after a failed durable write or sync the same answer for
//             ever for that open file (for sync_directory: until reboot()).
// Units       latencies are virtual. capacity in bytes of file sizes.
// Bounds      memory is the data that is not zero, twice, and what no sync covered.
// Threads     one owner, the one of the world. Destroying the disk drops its completions.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/storage.h"
#include "sim/sim_directory.h"
#include "sim/sim_faults.h"
#include "sim/sim_world.h"

namespace qh {

class SimDisk final : public Storage {
 public:
  struct Options {
    /// Share of the operations that complete inside the call: 0 none, 1 all.
    double inline_share = 0;
    Duration latency_min = std::chrono::microseconds(20);
    Duration latency_max = std::chrono::microseconds(400);  ///< each kind draws its own below this, by seed
    Duration stall = std::chrono::milliseconds(80);
    std::uint64_t stall_one_in = 500;  ///< 0: never
    SimDirectory::Loss directory_loss = SimDirectory::Loss::kPrefix;
    /// After a failed sync the device may have taken some of the pages; else it has none of them.
    bool failed_sync_keeps_some = true;
    std::size_t trace_max = 64;
  };

  SimDisk(SimWorld& world, std::uint64_t seed);
  SimDisk(SimWorld& world, std::uint64_t seed, Options options);
  ~SimDisk() override;

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
  void list(Done<std::vector<Entry>> done) override;
  void sync_directory(Done<void> done) override;
  void free_space(Done<std::uint64_t> done) override;

  // --- Ends of a life. Between one and reboot() operations are taken and never answered.

  /// What is pending is dropped, having happened, in part or not; then what is not durable is lost, by seed.
  void power_cut(std::uint64_t seed);
  /// As kill -9: pending as above, but all that reached the page cache stays there.
  void process_kill(std::uint64_t seed);
  /// Usable again, with no file open and nothing pending (dropped, if no end came before). Faults,
  /// capacity, read-only and the descriptor limit stay as they are.
  void reboot();
  /// The machine stops when this many operations, counted from construction, were asked for: that one and
  /// all after it are not answered. For going through each moment, also when all is inline.
  void freeze_after(std::uint64_t operations) { freeze_after_ = operations; }
  bool frozen() const { return dead_ || asked_ >= freeze_after_; }

  // --- Faults.

  SimFaults& faults() { return faults_; }
  void set_capacity(std::uint64_t bytes) { capacity_ = bytes; }
  void set_read_only(bool read_only) { read_only_ = read_only; }
  void set_descriptors_max(std::size_t files) { descriptors_max_ = files; }
  /// Writes to the file of this name take this time more.
  void slow_writes(std::string name, Duration by) { slow_writes_[std::move(name)] = by; }
  /// Reads that touch these bytes of the file that has this name now answer EIO.
  void fail_reads(std::string_view name, std::uint64_t offset, std::uint64_t bytes);
  void clear_read_errors(std::string_view name);
  void corrupt(std::string_view name, std::uint64_t offset, std::byte mask);
  /// What the page cache had is read from the device again (it differs only after a failed write or sync).
  void drop_caches();

  // --- Looking and arranging, past all faults and latencies.

  std::vector<std::string> names() const;
  /// As cached reads see it; nothing if there is no such name.
  std::optional<Bytes> contents(std::string_view name) const;
  /// What is there after a power cut that keeps only what must be kept.
  std::optional<Bytes> durable_contents(std::string_view name) const;
  /// Made or replaced, durable at once.
  void set_contents(const std::string& name, ByteView bytes);
  void erase(const std::string& name);

  std::uint64_t count(DiskOp op) const { return counts_[static_cast<std::size_t>(op)]; }
  /// All that were asked for, since construction.
  std::uint64_t operations() const { return asked_; }
  std::size_t in_flight() const { return pending_.size(); }
  std::size_t open_files() const { return files_.size(); }
  std::uint64_t used_bytes() const;
  /// The last operations, a line each, oldest first.
  std::string trace() const;

 private:
  struct OpenFile {
    std::shared_ptr<SimInode> inode;
    std::string name;
    bool writable = false;
    std::optional<Error> failed = {};
  };
  using Answer = std::variant<std::monostate, Done<void>, Done<std::uint64_t>, Done<FileId>, Done<std::vector<Entry>>>;
  struct Operation {
    DiskOp op = DiskOp::kOpen;
    std::string name = {};
    std::string to = {};
    std::shared_ptr<OpenFile> file = nullptr;
    OpenMode mode = OpenMode::kRead;
    ReadPath path = ReadPath::kCached;
    std::uint64_t offset = 0;
    std::uint64_t end = 0;
    Bytes bytes = {};
    std::span<std::byte> into = {};
    ByteView from = {};        ///< the caller's bytes, which must not change while in flight
    std::uint64_t covers = 0;  ///< syncs: the last change when it was asked for
    int fault = 0;
    Answer answer = {};
    SimWorld::EventId event = {};
  };
  struct Traced {
    std::uint64_t number = 0;
    MonoTime at;
    DiskOp op = DiskOp::kOpen;
    std::string name;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    int fault = 0;
  };
  static_assert(std::is_same_v<std::size_t, std::uint64_t>, "reads and free space share an answer");

  const std::shared_ptr<OpenFile>& file(FileId id);
  Operation on_file(DiskOp op, FileId id);
  void start(Operation operation);
  void finish(std::uint64_t number);
  /// Takes effect and answers.
  void run(Operation& operation);
  /// Takes effect in whole, in part or not at all, and does not answer.
  void cut_short(Operation& operation, Rng& rng);
  void drop_pending(Rng& rng);
  Duration latency(const Operation& operation);
  Duration slowness(const Operation& operation) const;
  void remember(const Operation& operation);

  Result<FileId> do_open(Operation& operation);
  Result<std::uint64_t> do_read(Operation& operation);
  Result<void> do_change(Operation& operation);
  Result<void> do_write(Operation& operation);
  Result<void> do_sync(Operation& operation);
  Result<void> do_zero_fill(Operation& operation);
  Result<void> do_truncate(Operation& operation);
  Result<void> do_rename(Operation& operation);
  Result<void> do_remove(Operation& operation);
  Result<void> do_sync_directory(Operation& operation);
  std::vector<Entry> do_list() const;
  /// How far a file may grow from its size towards `end`.
  std::uint64_t room(const SimInode& inode, std::uint64_t end) const;

  SimWorld& world_;
  Options options_;
  SeededRng rng_;
  std::array<Duration, kDiskOps> latency_max_{};
  SimDirectory directory_;
  std::unordered_map<FileId, std::shared_ptr<OpenFile>> files_;
  std::uint32_t last_file_ = 0;
  std::uint64_t last_change_ = 0;
  std::map<std::uint64_t, Operation> pending_;
  std::optional<Error> directory_failed_;
  bool dead_ = false;
  std::uint64_t freeze_after_ = UINT64_MAX;

  SimFaults faults_;
  std::uint64_t capacity_ = UINT64_MAX;
  bool read_only_ = false;
  std::size_t descriptors_max_ = SIZE_MAX;
  std::map<std::string, Duration> slow_writes_;

  std::array<std::uint64_t, kDiskOps> counts_{};
  std::uint64_t asked_ = 0;
  std::vector<Traced> trace_;
};

}  // namespace qh
