#include "base/file_storage.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <unordered_map>

#include "base/file_storage_directory.h"
#include "base/file_storage_error.h"
#include "base/file_storage_executor.h"
#include "base/file_storage_file.h"

namespace qh {
namespace {

using Lane = DiskExecutor::Lane;
using Step = DiskOperation::Step;

/// Work that gives a Result<T> in one go.
template <class T, class Work>
class Once final : public DiskOperation {
 public:
  Once(Work work, Storage::Done<T> done) : work_(std::move(work)), done_(std::move(done)) {}
  Step run() override {
    answer_.emplace(work_());
    return Step::kAnswered;
  }
  Step fail(Error error) override {
    answer_.emplace(qh::fail(std::move(error)));
    return Step::kAnswered;
  }
  void deliver() override { done_(std::move(*answer_)); }

 private:
  Work work_;
  Storage::Done<T> done_;
  std::optional<Result<T>> answer_;
};

/// Work that others of its lane may come in between: `step` says whether it was the last one.
class InSteps final : public DiskOperation {
 public:
  using Take = UniqueFunction<Result<bool>()>;
  InSteps(Take step, Storage::Done<void> done) : step_(std::move(step)), done_(std::move(done)) {}
  Step run() override {
    const auto last = step_();
    if (!last) answer_ = qh::fail(last.error());
    return !last || *last ? Step::kAnswered : Step::kAgain;
  }
  Step fail(Error error) override {
    answer_ = qh::fail(std::move(error));
    return Step::kAnswered;
  }
  void deliver() override { done_(std::move(answer_)); }

 private:
  Take step_;
  Storage::Done<void> done_;
  Result<void> answer_;
};

/// Gives up a file where it may block: closing the last descriptor of a removed file frees its blocks.
class Close final : public DiskOperation {
 public:
  explicit Close(std::shared_ptr<StorageFile> file) : file_(std::move(file)) {}
  Step run() override { return Step::kNoAnswer; }
  Step fail(Error) override { return Step::kNoAnswer; }

 private:
  std::shared_ptr<StorageFile> file_;
};

/// Where the next durable write runs: inline while the disk is quick.
class Pace {
 public:
  Pace(const FileStorage::Options& options, bool quick)
      : placement_(options.placement),
        slow_(options.slow_write),
        to_return_(options.quick_writes_to_return),
        quick_(quick) {}

  bool write_inline(std::size_t bytes) const {
    if (placement_ != FileStorage::Placement::kAdaptive) return placement_ == FileStorage::Placement::kInline;
    return quick_ && bytes < Storage::kLargeWriteBytes;
  }
  void took(Duration latency) {
    quick_run_ = latency < slow_ ? quick_run_ + 1 : 0;
    if (latency >= slow_)
      quick_ = false;
    else if (quick_run_ >= to_return_)
      quick_ = true;
  }

 private:
  FileStorage::Placement placement_;
  Duration slow_;
  std::uint64_t to_return_;
  std::uint64_t quick_run_ = 0;
  bool quick_;
};

class DurableWrite final : public DiskOperation {
 public:
  DurableWrite(std::shared_ptr<StorageFile> file, std::uint64_t offset, ByteView bytes, Clock& clock, Pace& pace,
               Storage::Done<void> done)
      : file_(std::move(file)), offset_(offset), bytes_(bytes), clock_(clock), pace_(pace), done_(std::move(done)) {}
  Step run() override {
    const MonoTime start = clock_.mono();
    answer_ = file_->write_durable(offset_, bytes_);
    latency_ = clock_.mono() - start;
    return Step::kAnswered;
  }
  Step fail(Error error) override {
    answer_ = qh::fail(std::move(error));
    return Step::kAnswered;
  }
  void deliver() override {
    pace_.took(latency_);
    done_(std::move(answer_));
  }

 private:
  std::shared_ptr<StorageFile> file_;
  std::uint64_t offset_;
  ByteView bytes_;
  Clock& clock_;
  Pace& pace_;  ///< the owner's: touched in deliver() only
  Storage::Done<void> done_;
  Result<void> answer_;
  Duration latency_{0};
};

/// While completions are delivered; also where one of them throws, for the storage is destroyed behind that.
class Delivering {
 public:
  explicit Delivering(bool& flag) : flag_(flag), outer_(std::exchange(flag, true)) {}
  Delivering(const Delivering&) = delete;
  Delivering& operator=(const Delivering&) = delete;
  ~Delivering() { flag_ = outer_; }

 private:
  bool& flag_;
  bool outer_;
};

}  // namespace

struct FileStorage::Impl {
  Impl(StorageDirectory dir, const Options& options, ProbeReport probed)
      : directory(std::move(dir)),
        read_only(options.access == Access::kReadOnly),
        report(std::move(probed)),
        clock(options.clock != nullptr ? options.clock : &system_clock),
        in_flight_max(options.in_flight_max),
        in_call(options.in_call != nullptr ? options.in_call : &nobody_asks),
        pace(options, report.line(report.chosen).median < options.slow_write) {}

  SystemClock system_clock;
  StorageDirectory directory;
  bool read_only;
  ProbeReport report;
  Clock* clock;
  std::size_t in_flight_max;
  std::atomic<bool> nobody_asks = false;
  std::atomic<bool>* in_call;
  Pace pace;
  std::unordered_map<FileId, std::shared_ptr<StorageFile>> files;
  std::uint32_t last_id = 0;
  std::size_t in_flight = 0;
  bool delivering = false;
  std::atomic<std::uint64_t> last_write = 0;  ///< its bytes: StorageFile::zero_piece(), truncate_piece()
  std::unique_ptr<DiskExecutor> executor;     ///< last: its threads use the members above; none with kInline

  const std::shared_ptr<StorageFile>& file(FileId id) {
    const auto found = files.find(id);
    INVARIANT(found != files.end(), "an operation on a file that is not open");
    return found->second;
  }

  tl::unexpected<Error> refuse_to_change(const std::string& name) const {
    return fail(Error(Errc::kNotPermitted, name + ": this storage only reads").about(name));
  }

  bool full() const { return in_flight >= in_flight_max; }
  tl::unexpected<Error> busy() const {
    return fail(Error(Errc::kBusy, "too many disk operations in flight").about("in_flight_max"));
  }
  void submit(Lane lane, std::unique_ptr<DiskOperation> operation) {
    ++in_flight;
    executor->submit(lane, std::move(operation));
  }

  /// Runs `work` inline or in the background and gives its Result<T> to `done`.
  template <class T, class Work>
  void start(Work work, Done<T> done) {
    if (!executor) return done(work());
    if (full()) return done(busy());
    submit(Lane::kBackground, std::make_unique<Once<T, Work>>(std::move(work), std::move(done)));
  }
  void start_in_steps(InSteps::Take step, Done<void> done) {
    if (executor && full()) return done(busy());
    auto work = std::make_unique<InSteps>(std::move(step), std::move(done));
    if (executor) return submit(Lane::kBackground, std::move(work));
    while (work->run() == Step::kAgain) {
    }
    work->deliver();
  }
};

FileStorage::FileStorage(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileStorage::~FileStorage() { INVARIANT(!impl_->delivering, "a completion destroyed its storage"); }

Result<std::unique_ptr<FileStorage>> FileStorage::open(const std::filesystem::path& directory, Options options) {
  auto opened = StorageDirectory::open(directory);
  if (!opened) return fail(std::move(opened.error()));
  SystemClock system_clock;
  const WriteMethod wanted = options.write_method;
  ProbeReport report;
  report.note = "not measured: read only";
  if (options.access == Access::kReadWrite) {
    report = probe_storage(opened->fd(), wanted, options.clock != nullptr ? *options.clock : system_clock);
  }
  if (wanted != WriteMethod::kAuto && report.chosen != wanted) {
    if (report.note.empty()) {
      return fail(
          Error(Errc::kInvalid,
                "write method " + std::string(write_method_name(wanted)) + " does not work in " + directory.string(),
                report.line(wanted).os_errno)
              .about("write_method"));
    }
    report.chosen = wanted;  // nothing could be tried (a full disk); each file finds out when it is opened
  }
  std::unique_ptr<FileStorage> storage(
      new FileStorage(std::make_unique<Impl>(std::move(*opened), options, std::move(report))));
  if (options.placement != Placement::kInline) {
    INVARIANT(options.executor_threads > 0, "the executor needs a thread");
    auto executor = DiskExecutor::start(options.executor_threads, std::move(options.wake));
    if (!executor) return fail(std::move(executor.error()));
    storage->impl_->executor = std::move(*executor);
  }
  return storage;
}

void FileStorage::open(std::string name, OpenMode mode, Done<FileId> done) {
  if (!is_plain_file_name(name)) return done(bad_file_name(name));
  if (impl_->read_only && mode != OpenMode::kRead) return done(impl_->refuse_to_change(name));
  auto work = [&directory = impl_->directory, method = impl_->report.chosen, name = std::move(name), mode] {
    return StorageFile::open(directory.fd(), name, mode, method);
  };
  // The table of open files is the owner's, so the id is given out at delivery.
  auto enter = [impl = impl_.get(), done = std::move(done)](Result<std::shared_ptr<StorageFile>> file) mutable {
    if (!file) return done(fail(std::move(file.error())));
    const FileId id(++impl->last_id);
    impl->files.emplace(id, std::move(*file));
    done(id);
  };
  impl_->start<std::shared_ptr<StorageFile>>(std::move(work), std::move(enter));
}

void FileStorage::close(FileId file) {
  auto closing = impl_->file(file);
  impl_->files.erase(file);
  if (impl_->executor) impl_->executor->submit(Lane::kBackground, std::make_unique<Close>(std::move(closing)));
}

void FileStorage::read(FileId file, std::uint64_t offset, std::span<std::byte> into, ReadPath path,
                       Done<std::size_t> done) {
  impl_->start<std::size_t>([file = impl_->file(file), offset, into, path] { return file->read(offset, into, path); },
                            std::move(done));
}

void FileStorage::write(FileId file, std::uint64_t offset, ByteView bytes, Durability durability, Done<void> done) {
  INVARIANT(offset % kBlockBytes == 0 && bytes.size() % kBlockBytes == 0 &&
                reinterpret_cast<std::uintptr_t>(bytes.data()) % kBlockBytes == 0,
            "writes are whole blocks from aligned memory");
  const auto& to = impl_->file(file);
  impl_->last_write.store(bytes.size(), std::memory_order_relaxed);
  if (durability == Durability::kCached) {
    return impl_->start<void>([file = to, offset, bytes] { return file->write_cached(offset, bytes); },
                              std::move(done));
  }
  if (!impl_->pace.write_inline(bytes.size())) {
    if (impl_->full()) return done(impl_->busy());
    return impl_->submit(
        Lane::kHot, std::make_unique<DurableWrite>(to, offset, bytes, *impl_->clock, impl_->pace, std::move(done)));
  }
  const MonoTime start = impl_->clock->mono();
  impl_->in_call->store(true, std::memory_order_relaxed);
  auto answer = to->write_durable(offset, bytes);
  impl_->in_call->store(false, std::memory_order_relaxed);
  impl_->pace.took(impl_->clock->mono() - start);
  done(std::move(answer));
}

void FileStorage::sync(FileId file, Done<void> done) {
  impl_->start<void>([file = impl_->file(file)] { return file->sync(); }, std::move(done));
}

void FileStorage::zero_fill(FileId file, std::uint64_t from, std::uint64_t to, Done<void> done) {
  INVARIANT(from <= to, "a range of zeros that ends before it starts");
  auto step = [file = impl_->file(file), from, to, &last = impl_->last_write]() mutable -> Result<bool> {
    if (from == to) return true;
    const auto next = file->zero_fill_step(from, to, last.load(std::memory_order_relaxed));
    if (!next) return fail(next.error());
    from = *next;
    return from == to;
  };
  impl_->start_in_steps(std::move(step), std::move(done));
}

void FileStorage::truncate(FileId file, std::uint64_t bytes, Done<void> done) {
  auto step = [file = impl_->file(file), bytes, &last = impl_->last_write] {
    return file->truncate_step(bytes, last.load(std::memory_order_relaxed));
  };
  impl_->start_in_steps(std::move(step), std::move(done));
}

void FileStorage::rename(std::string from, std::string to, Done<void> done) {
  if (!is_plain_file_name(from)) return done(bad_file_name(from));
  if (!is_plain_file_name(to)) return done(bad_file_name(to));
  if (impl_->read_only) return done(impl_->refuse_to_change(from));
  impl_->start<void>([&directory = impl_->directory, from = std::move(from),
                      to = std::move(to)] { return directory.rename(from, to); },
                     std::move(done));
}

void FileStorage::remove(std::string name, Done<void> done) {
  if (!is_plain_file_name(name)) return done(bad_file_name(name));
  if (impl_->read_only) return done(impl_->refuse_to_change(name));
  impl_->start<void>([&directory = impl_->directory, name = std::move(name)] { return directory.remove(name); },
                     std::move(done));
}

void FileStorage::list(Done<std::vector<Entry>> done) {
  impl_->start<std::vector<Entry>>([&directory = impl_->directory] { return directory.list(); }, std::move(done));
}

void FileStorage::sync_directory(Done<void> done) {
  impl_->start<void>([&directory = impl_->directory] { return directory.sync(); }, std::move(done));
}

void FileStorage::free_space(Done<std::uint64_t> done) {
  impl_->start<std::uint64_t>([&directory = impl_->directory] { return directory.free_space(); }, std::move(done));
}

void FileStorage::is_there(std::string name, Done<bool> done) {
  if (!is_plain_file_name(name)) return done(bad_file_name(name));
  impl_->start<bool>([&directory = impl_->directory, name = std::move(name)] { return directory.is_there(name); },
                     std::move(done));
}

std::size_t FileStorage::poll() {
  if (!impl_->executor) return 0;
  auto completed = impl_->executor->take_completed();
  impl_->in_flight -= completed.size();
  const Delivering delivering(impl_->delivering);
  for (auto& operation : completed) {
    operation->deliver();
    operation.reset();
  }
  return completed.size();
}

bool FileStorage::wait(MonoTime deadline) {
  return impl_->executor && impl_->in_flight > 0 && impl_->executor->wait(deadline);
}

std::size_t FileStorage::in_flight() const { return impl_->in_flight; }
WriteMethod FileStorage::method() const { return impl_->report.chosen; }
const ProbeReport& FileStorage::probe_report() const { return impl_->report; }
bool FileStorage::writes_inline() const { return impl_->pace.write_inline(kBlockBytes); }

}  // namespace qh
