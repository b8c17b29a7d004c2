// What each operation of the simulated disk does when it completes, fails or is cut short.
#include <algorithm>

#include "base/file_storage_error.h"
#include "sim/sim_disk.h"

namespace qh {

void SimDisk::run(Operation& operation) {
  INVARIANT(operation.from.size() != operation.bytes.size() || std::ranges::equal(operation.from, operation.bytes),
            "bytes changed while their write was in flight");
  // The answer comes last: what it calls may do anything, also end this life.
  switch (operation.op) {
    case DiskOp::kOpen: {
      auto opened = do_open(operation);
      return std::get<Done<FileId>>(operation.answer)(std::move(opened));
    }
    case DiskOp::kRead: {
      auto read = do_read(operation);
      return std::get<Done<std::uint64_t>>(operation.answer)(std::move(read));
    }
    case DiskOp::kList: {
      auto& done = std::get<Done<std::vector<Entry>>>(operation.answer);
      if (operation.fault != 0) return done(storage_error(operation.fault, "list", "."));
      return done(do_list());
    }
    case DiskOp::kFreeSpace: {
      auto& done = std::get<Done<std::uint64_t>>(operation.answer);
      if (operation.fault != 0) return done(storage_error(operation.fault, "free space", "."));
      const std::uint64_t used = used_bytes();
      return done(used < capacity_ ? capacity_ - used : 0);
    }
    default: {
      auto changed = do_change(operation);
      return std::get<Done<void>>(operation.answer)(std::move(changed));
    }
  }
}

Result<void> SimDisk::do_change(Operation& operation) {
  if (read_only_ && operation.fault == 0) operation.fault = EROFS;
  switch (operation.op) {
    case DiskOp::kWrite:
    case DiskOp::kDurableWrite:
      return do_write(operation);
    case DiskOp::kSync:
      return do_sync(operation);
    case DiskOp::kZeroFill:
      return do_zero_fill(operation);
    case DiskOp::kTruncate:
      return do_truncate(operation);
    case DiskOp::kRename:
      return do_rename(operation);
    case DiskOp::kRemove:
      return do_remove(operation);
    default:
      return do_sync_directory(operation);
  }
}

void SimDisk::cut_short(Operation& operation, Rng& rng) {
  const std::uint64_t outcome = rng.below(3);
  if (outcome == 0 || operation.op == DiskOp::kRead) return;  // it had not begun
  const bool changes = (kChangesDisk & only(operation.op)) != 0;
  if (operation.op == DiskOp::kOpen) {
    if (operation.mode == OpenMode::kCreate) (void)do_open(operation);
  } else if (operation.op == DiskOp::kDurableWrite || operation.op == DiskOp::kWrite) {
    if (operation.fault != 0 || read_only_ || !operation.file->writable || operation.file->failed) return;
    if (operation.end > room(*operation.file->inode, operation.end)) return;
    const auto parts = outcome == 1 ? std::vector{SimInode::Range{operation.offset, operation.end}}
                                    : SimInode::torn({operation.offset, operation.end}, rng);
    for (const auto part : parts) {
      const ByteView bytes = ByteView(operation.bytes).subspan(part.from - operation.offset, part.to - part.from);
      operation.file->inode->write(++last_change_, part.from, {bytes.begin(), bytes.end()});
    }
  } else if (operation.op == DiskOp::kZeroFill && outcome == 1 && operation.end > operation.offset) {
    operation.end = operation.offset + rng.below(operation.end - operation.offset);
    (void)do_change(operation);
  } else if (changes) {
    (void)do_change(operation);
  }
}

Result<FileId> SimDisk::do_open(Operation& op) {
  auto inode = directory_.find(op.name);
  int error = op.fault;
  if (error == 0 && op.mode == OpenMode::kCreate && inode) error = EEXIST;
  if (error == 0 && op.mode != OpenMode::kCreate && !inode) error = ENOENT;
  if (error == 0 && op.mode != OpenMode::kRead && read_only_) error = EROFS;
  if (error == 0 && files_.size() >= descriptors_max_) error = EMFILE;
  if (error != 0) return storage_error(error, "open", op.name);
  if (!inode) {
    inode = std::make_shared<SimInode>();
    directory_.create(++last_change_, op.name, inode);
  }
  const FileId id(++last_file_);
  files_.emplace(id, std::make_shared<OpenFile>(OpenFile{std::move(inode), op.name, op.mode != OpenMode::kRead}));
  return id;
}

Result<std::uint64_t> SimDisk::do_read(Operation& op) {
  const SimInode& inode = *op.file->inode;
  const bool bad = std::ranges::any_of(
      inode.read_errors, [&](SimInode::Range range) { return range.from < op.end && op.offset < range.to; });
  if (op.fault == 0 && bad) op.fault = EIO;
  if (op.fault != 0) return storage_error(op.fault, "read", op.name, op.offset);
  return inode.read(op.path, op.offset, op.into);
}

std::uint64_t SimDisk::room(const SimInode& inode, std::uint64_t end) const {
  if (end <= inode.size() || capacity_ == UINT64_MAX) return end;
  const std::uint64_t used = used_bytes();
  const std::uint64_t left = used < capacity_ ? capacity_ - used : 0;
  return end - inode.size() <= left ? end : inode.size() + left;
}

Result<void> SimDisk::do_write(Operation& op) {
  OpenFile& file = *op.file;
  SimInode& inode = *file.inode;
  const bool durable = op.op == DiskOp::kDurableWrite;
  if (durable && file.failed) return fail(*file.failed);
  if (!file.writable) {
    auto error = storage_error(EBADF, "write", op.name, op.offset);
    if (durable) file.failed = error.value();
    return error;
  }

  const std::uint64_t may = room(inode, op.end) / kBlockBytes * kBlockBytes;
  if (op.fault == 0 && may < op.end) {
    op.fault = ENOSPC;  // a short count first, then the error, as the real one
    op.bytes.resize(may > op.offset ? may - op.offset : 0);
  }
  const std::uint64_t number = ++last_change_;
  if (op.fault == 0) {
    if (durable)
      inode.write_durable(number, op.offset, std::move(op.bytes));
    else
      inode.write(number, op.offset, std::move(op.bytes));
    return {};
  }
  auto error = storage_error(op.fault, "write", op.name, op.offset);
  if (op.fault != EROFS && !op.bytes.empty() &&
      room(inode, op.offset + op.bytes.size()) == op.offset + op.bytes.size()) {
    const bool through_cache = durable && rng_.below(2) == 0;  // by RWF_DSYNC or by O_DIRECT: we do not say
    inode.write_failed(number, op.offset, std::move(op.bytes), through_cache, rng_);
  }
  if (durable) file.failed = error.value();
  return error;
}

Result<void> SimDisk::do_sync(Operation& op) {
  OpenFile& file = *op.file;
  if (file.failed) return fail(*file.failed);
  if (op.fault == EROFS && !file.inode->has_unsynced()) op.fault = 0;  // nothing to write
  if (op.fault == 0) {
    file.inode->sync_up_to(op.covers);
    return {};
  }
  auto error = storage_error(op.fault, "sync", op.name);
  file.failed = error.value();
  file.inode->sync_failed(op.covers, options_.failed_sync_keeps_some, rng_);
  return error;
}

Result<void> SimDisk::do_zero_fill(Operation& op) {
  SimInode& inode = *op.file->inode;
  if (!op.file->writable && op.end > op.offset) return storage_error(EBADF, "zero", op.name, op.offset);
  std::uint64_t end = op.end;
  if (op.fault != 0) end = op.fault == EROFS || end == op.offset ? op.offset : op.offset + rng_.below(end - op.offset);
  const std::uint64_t may = room(inode, end);
  if (op.fault == 0 && may < end) op.fault = ENOSPC;
  end = std::min(end, may);
  if (end > op.offset) inode.zero(++last_change_, op.offset, end);
  if (op.fault != 0) return storage_error(op.fault, "zero", op.name, std::max(op.offset, end));
  return {};
}

Result<void> SimDisk::do_truncate(Operation& op) {
  SimInode& inode = *op.file->inode;
  if (op.fault == 0 && !op.file->writable) op.fault = EINVAL;
  if (op.fault == 0 && room(inode, op.end) < op.end) op.fault = ENOSPC;
  if (op.fault != 0) return storage_error(op.fault, "truncate", op.name, op.end);
  if (op.end != inode.size()) inode.truncate(++last_change_, op.end);
  return {};
}

Result<void> SimDisk::do_rename(Operation& op) {
  if (op.fault == 0 && !directory_.find(op.name)) op.fault = ENOENT;
  if (op.fault != 0) return storage_error(op.fault, "rename", op.name);
  directory_.rename(++last_change_, op.name, op.to);
  return {};
}

Result<void> SimDisk::do_remove(Operation& op) {
  if (op.fault == 0 && !directory_.find(op.name)) op.fault = ENOENT;
  if (op.fault != 0) return storage_error(op.fault, "remove", op.name);
  directory_.remove(++last_change_, op.name);
  return {};
}

Result<void> SimDisk::do_sync_directory(Operation& op) {
  if (directory_failed_) return fail(*directory_failed_);
  if (op.fault == 0) {
    directory_.sync_up_to(op.covers);
    return {};
  }
  auto error = storage_error(op.fault, "sync directory", ".");
  directory_failed_ = error.value();
  return error;
}

std::vector<Storage::Entry> SimDisk::do_list() const {
  std::vector<Entry> entries;
  for (const auto& [name, inode] : directory_.names()) entries.push_back({name, inode->size()});
  return entries;
}

}  // namespace qh
