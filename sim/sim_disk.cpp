// The disk as its owner and a test see it; what each operation does stands in sim_disk_effects.cpp.
#include "sim/sim_disk.h"

#include <algorithm>
#include <set>

#include "base/file_storage_error.h"

namespace qh {

SimDisk::SimDisk(SimWorld& world, std::uint64_t seed) : SimDisk(world, seed, Options{}) {}

SimDisk::SimDisk(SimWorld& world, std::uint64_t seed, Options options)
    : world_(world), options_(options), rng_(seed ^ 0x6469736bULL) {
  const auto spread = static_cast<std::uint64_t>((options_.latency_max - options_.latency_min).count());
  for (auto& max : latency_max_) max = options_.latency_min + Duration(rng_.below(spread + 1));
}

SimDisk::~SimDisk() {
  for (const auto& [number, operation] : pending_) world_.cancel(operation.event);
}

const std::shared_ptr<SimDisk::OpenFile>& SimDisk::file(FileId id) {
  const auto found = files_.find(id);
  INVARIANT(found != files_.end(), "an operation on a file that is not open");
  return found->second;
}

SimDisk::Operation SimDisk::on_file(DiskOp op, FileId id) {
  Operation operation{.op = op};
  // After its end the machine takes anything: what was open is not its business any more.
  if (dead_) return operation;
  operation.file = file(id);
  operation.name = operation.file->name;
  return operation;
}

void SimDisk::open(std::string name, OpenMode mode, Done<FileId> done) {
  if (!is_plain_file_name(name)) return done(bad_file_name(name));
  start({.op = DiskOp::kOpen, .name = std::move(name), .mode = mode, .answer = std::move(done)});
}

void SimDisk::close(FileId id) {
  if (dead_) return;
  (void)file(id);
  files_.erase(id);
}

void SimDisk::read(FileId id, std::uint64_t offset, std::span<std::byte> into, ReadPath path, Done<std::size_t> done) {
  auto operation = on_file(DiskOp::kRead, id);
  operation.offset = offset;
  operation.end = offset + into.size();
  operation.into = into;
  operation.path = path;
  operation.answer = std::move(done);
  start(std::move(operation));
}

void SimDisk::write(FileId id, std::uint64_t offset, ByteView bytes, Durability durability, Done<void> done) {
  INVARIANT(offset % kBlockBytes == 0 && bytes.size() % kBlockBytes == 0 &&
                reinterpret_cast<std::uintptr_t>(bytes.data()) % kBlockBytes == 0,
            "writes are whole blocks from aligned memory");
  auto operation = on_file(durability == Durability::kDurable ? DiskOp::kDurableWrite : DiskOp::kWrite, id);
  operation.offset = offset;
  operation.end = offset + bytes.size();
  operation.bytes.assign(bytes.begin(), bytes.end());
  operation.from = bytes;
  operation.answer = std::move(done);
  start(std::move(operation));
}

void SimDisk::sync(FileId id, Done<void> done) {
  auto operation = on_file(DiskOp::kSync, id);
  operation.answer = std::move(done);
  start(std::move(operation));
}

void SimDisk::zero_fill(FileId id, std::uint64_t from, std::uint64_t to, Done<void> done) {
  INVARIANT(from <= to, "a range of zeros that ends before it starts");
  auto operation = on_file(DiskOp::kZeroFill, id);
  operation.offset = from;
  operation.end = to;
  operation.answer = std::move(done);
  start(std::move(operation));
}

void SimDisk::truncate(FileId id, std::uint64_t bytes, Done<void> done) {
  auto operation = on_file(DiskOp::kTruncate, id);
  operation.offset = operation.end = bytes;
  operation.answer = std::move(done);
  start(std::move(operation));
}

void SimDisk::rename(std::string from, std::string to, Done<void> done) {
  if (!is_plain_file_name(from)) return done(bad_file_name(from));
  if (!is_plain_file_name(to)) return done(bad_file_name(to));
  start({.op = DiskOp::kRename, .name = std::move(from), .to = std::move(to), .answer = std::move(done)});
}

void SimDisk::remove(std::string name, Done<void> done) {
  if (!is_plain_file_name(name)) return done(bad_file_name(name));
  start({.op = DiskOp::kRemove, .name = std::move(name), .answer = std::move(done)});
}

void SimDisk::list(Done<std::vector<Entry>> done) { start({.op = DiskOp::kList, .answer = std::move(done)}); }

void SimDisk::sync_directory(Done<void> done) { start({.op = DiskOp::kSyncDirectory, .answer = std::move(done)}); }

void SimDisk::free_space(Done<std::uint64_t> done) { start({.op = DiskOp::kFreeSpace, .answer = std::move(done)}); }

void SimDisk::start(Operation operation) {
  if (dead_) return;  // its answer is dropped with it
  const bool frozen_already = frozen();
  const std::uint64_t number = ++asked_;
  operation.covers = last_change_;
  if (!frozen_already) {
    ++counts_[static_cast<std::size_t>(operation.op)];
    operation.fault = faults_.next(operation.op, operation.name, rng_);
    remember(operation);
  }
  const bool can_be_inline = options_.inline_share > 0 && slowness(operation) == Duration(0);
  if (!frozen() && can_be_inline && rng_.fraction() < options_.inline_share) return run(operation);
  if (!frozen_already) {
    operation.event = world_.after(latency(operation), [this, number] { finish(number); });
    pending_.emplace(number, std::move(operation));
  }
}

void SimDisk::finish(std::uint64_t number) {
  if (frozen()) return;  // what is in flight stays so until the cut decides about it
  auto node = pending_.extract(number);
  run(node.mapped());
}

Duration SimDisk::slowness(const Operation& operation) const {
  if (operation.op != DiskOp::kWrite && operation.op != DiskOp::kDurableWrite) return Duration(0);
  const auto slow = slow_writes_.find(operation.file->name);
  return slow == slow_writes_.end() ? Duration(0) : slow->second;
}

Duration SimDisk::latency(const Operation& operation) {
  const auto min = options_.latency_min;
  const auto max = latency_max_[static_cast<std::size_t>(operation.op)];
  Duration drawn = min + Duration(rng_.below(static_cast<std::uint64_t>((max - min).count()) + 1));
  if (operation.op == DiskOp::kZeroFill) drawn += Duration((operation.end - operation.offset) * 2);  // 500 MB/s
  if (options_.stall_one_in > 0 && rng_.below(options_.stall_one_in) == 0) drawn += options_.stall;
  return drawn + slowness(operation);
}

void SimDisk::drop_pending(Rng& rng) {
  for (auto& [number, operation] : pending_) world_.cancel(operation.event);
  // In any order, because what is in flight has none.
  std::vector<Operation*> left;
  left.reserve(pending_.size());
  for (auto& [number, operation] : pending_) left.push_back(&operation);
  for (std::size_t i = left.size(); i > 1; --i) std::swap(left[i - 1], left[rng.below(i)]);
  for (Operation* operation : left) cut_short(*operation, rng);
  pending_.clear();
}

void SimDisk::process_kill(std::uint64_t seed) {
  SeededRng rng(seed);
  if (!dead_) drop_pending(rng);
  dead_ = true;
}

void SimDisk::power_cut(std::uint64_t seed) {
  SeededRng rng(seed);
  if (!dead_) drop_pending(rng);
  directory_.power_cut(rng, options_.directory_loss);
  dead_ = true;
}

void SimDisk::reboot() {
  for (auto& [number, operation] : pending_) world_.cancel(operation.event);
  pending_.clear();
  files_.clear();
  directory_failed_.reset();
  freeze_after_ = UINT64_MAX;
  dead_ = false;
}

void SimDisk::fail_reads(std::string_view name, std::uint64_t offset, std::uint64_t bytes) {
  const auto inode = directory_.find(name);
  INVARIANT(inode != nullptr, "no such file on the simulated disk");
  inode->read_errors.push_back({offset, offset + bytes});
}

void SimDisk::clear_read_errors(std::string_view name) {
  if (const auto inode = directory_.find(name)) inode->read_errors.clear();
}

void SimDisk::corrupt(std::string_view name, std::uint64_t offset, std::byte mask) {
  const auto inode = directory_.find(name);
  INVARIANT(inode != nullptr, "no such file on the simulated disk");
  inode->corrupt(offset, mask);
}

void SimDisk::drop_caches() {
  for (const auto& [name, inode] : directory_.names()) inode->drop_cache();
}

std::vector<std::string> SimDisk::names() const {
  std::vector<std::string> names;
  for (const auto& [name, inode] : directory_.names()) names.push_back(name);
  return names;
}

std::optional<Bytes> SimDisk::contents(std::string_view name) const {
  const auto inode = directory_.find(name);
  return inode ? std::optional(inode->contents()) : std::nullopt;
}

std::optional<Bytes> SimDisk::durable_contents(std::string_view name) const {
  const auto found = directory_.durable().find(name);
  return found == directory_.durable().end() ? std::nullopt : std::optional(found->second->durable_contents());
}

void SimDisk::set_contents(const std::string& name, ByteView bytes) {
  auto inode = directory_.find(name);
  if (!inode) inode = std::make_shared<SimInode>();
  inode->set_contents(bytes);
  directory_.set(name, std::move(inode));
}

void SimDisk::erase(const std::string& name) { directory_.erase(name); }

std::uint64_t SimDisk::used_bytes() const {
  std::set<const SimInode*> inodes;  // a removed file takes its room until it is closed
  for (const auto& [name, inode] : directory_.names()) inodes.insert(inode.get());
  for (const auto& [id, open] : files_) inodes.insert(open->inode.get());
  std::uint64_t bytes = 0;
  for (const auto* inode : inodes) bytes += inode->size();
  return bytes;
}

void SimDisk::remember(const Operation& operation) {
  if (options_.trace_max == 0) return;
  Traced traced{asked_,         world_.mono(),    operation.op,
                operation.name, operation.offset, operation.end - operation.offset,
                operation.fault};
  if (trace_.size() < options_.trace_max)
    trace_.push_back(std::move(traced));
  else
    trace_[asked_ % trace_.size()] = std::move(traced);
}

std::string SimDisk::trace() const {
  std::vector<const Traced*> lines;
  lines.reserve(trace_.size());
  for (const Traced& line : trace_) lines.push_back(&line);
  std::ranges::sort(lines, {}, &Traced::number);
  std::string text;
  for (const Traced* line : lines) {
    text += "#" + std::to_string(line->number) + " " + std::to_string(line->at.ns / 1000) + " us: ";
    text.append(disk_op_name(line->op)).append(" ").append(line->name);
    text += " " + std::to_string(line->offset) + " +" + std::to_string(line->bytes);
    if (line->fault != 0) text += ", fails with errno " + std::to_string(line->fault);
    text += '\n';
  }
  return text;
}

}  // namespace qh
