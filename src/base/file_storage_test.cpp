// What is FileStorage's own: where operations run, methods, system errors. What every Storage must do is
// in sim/storage_conformance_test.cpp.
#include "base/file_storage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>

#include "base/file_storage_file.h"

namespace qh {
namespace {

namespace fs = std::filesystem;
using OpenMode = Storage::OpenMode;
using Placement = FileStorage::Placement;
using std::chrono::milliseconds;

MonoTime in(Duration d) { return SystemClock().mono() + d; }

class TempDirectory {
 public:
  explicit TempDirectory(const fs::path& parent = fs::temp_directory_path()) {
    std::string name = (parent / "qh-storage-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::unique_ptr<FileStorage> open_storage(const fs::path& directory, FileStorage::Options options = {}) {
  auto storage = FileStorage::open(directory, std::move(options));
  EXPECT_TRUE(storage) << (storage ? "" : storage.error().to_string());
  return storage ? std::move(*storage) : nullptr;
}

/// Starts an operation and polls until it has answered.
template <class T, class Start>
Result<T> answer(FileStorage& storage, Start start) {
  std::optional<Result<T>> got;
  start([&](Result<T> result) {
    EXPECT_FALSE(got) << "answered twice";
    got = std::move(result);
  });
  const MonoTime deadline = in(std::chrono::seconds(60));
  while (!got && storage.wait(deadline)) storage.poll();
  if (!got) return fail(Errc::kTimeout, "no answer");
  return std::move(*got);
}

Result<FileId> open_file(FileStorage& s, std::string name, OpenMode mode) {
  return answer<FileId>(s, [&](auto done) { s.open(name, mode, std::move(done)); });
}
Result<void> write(FileStorage& s, FileId file, std::uint64_t offset, ByteView bytes,
                   Storage::Durability durability = Storage::Durability::kDurable) {
  return answer<void>(s, [&](auto done) { s.write(file, offset, bytes, durability, std::move(done)); });
}
Result<std::size_t> read(FileStorage& s, FileId file, std::uint64_t offset, std::span<std::byte> into,
                         Storage::ReadPath path) {
  return answer<std::size_t>(s, [&](auto done) { s.read(file, offset, into, path, std::move(done)); });
}
Result<void> sync(FileStorage& s, FileId file) {
  return answer<void>(s, [&](auto done) { s.sync(file, std::move(done)); });
}

AlignedBuffer blocks(std::size_t count, char fill) {
  AlignedBuffer buffer(count * Storage::kBlockBytes);
  std::memset(buffer.data(), fill, buffer.size());
  return buffer;
}

/// Every look at it takes `step`, so a durable write seems to take just that.
class StepClock final : public Clock {
 public:
  MonoTime mono() override { return {now_ += step_}; }
  WallTime wall() override { return {now_}; }
  void set_step(Duration step) { step_ = step.count(); }

 private:
  std::atomic<std::int64_t> now_ = 0;
  std::atomic<std::int64_t> step_ = 1000;
};

TEST(FileStorage, AMissingDirectoryIsNotFound) {
  const auto storage = FileStorage::open("/nonexistent/qh", {});
  ASSERT_FALSE(storage);
  EXPECT_EQ(storage.error().code, Errc::kNotFound);
}

TEST(FileStorage, TheProbeLeavesNothingAndSaysWhatItMeasured) {
  const TempDirectory directory;
  const auto storage = open_storage(directory.path());
  EXPECT_TRUE(fs::is_empty(directory.path()));
  EXPECT_NE(storage->method(), WriteMethod::kAuto);
  EXPECT_EQ(storage->probe_report().chosen, storage->method());
  EXPECT_GT(storage->probe_report().line(WriteMethod::kFdatasync).writes, 0);
  EXPECT_GT(storage->probe_report().line(storage->method()).median.count(), 0);
  RecordProperty("probe", storage->probe_report().to_string());
}

TEST(FileStorage, ReadOnlyChangesNothingNotEvenForAMoment) {
  const TempDirectory directory;
  std::ofstream(directory.path() / "f") << "kept";
  fs::last_write_time(directory.path(), fs::file_time_type::clock::now() - std::chrono::hours(1));
  const auto before = fs::last_write_time(directory.path());
  auto storage = open_storage(directory.path(), {.access = FileStorage::Access::kReadOnly});
  EXPECT_EQ(fs::last_write_time(directory.path()), before) << "a probe made a file";
  EXPECT_EQ(storage->probe_report().to_string(), "fdatasync (not measured: read only)");

  const auto refused = [](const auto& answer) { return !answer && answer.error().code == Errc::kNotPermitted; };
  EXPECT_TRUE(refused(open_file(*storage, "g", OpenMode::kCreate)));
  EXPECT_TRUE(refused(open_file(*storage, "f", OpenMode::kReadWrite)));
  EXPECT_TRUE(refused(answer<void>(*storage, [&](auto done) { storage->rename("f", "g", std::move(done)); })));
  EXPECT_TRUE(refused(answer<void>(*storage, [&](auto done) { storage->remove("f", std::move(done)); })));
  const auto file = open_file(*storage, "f", OpenMode::kRead);
  ASSERT_TRUE(file);
  std::array<std::byte, 10> some{};
  EXPECT_EQ(read(*storage, *file, 0, some, Storage::ReadPath::kDevice), 4U);
  EXPECT_FALSE(write(*storage, *file, 0, blocks(1, 'x').view()));
  EXPECT_EQ(fs::file_size(directory.path() / "f"), 4U);
  EXPECT_EQ(fs::last_write_time(directory.path()), before);
}

TEST(FileStorage, EveryMethodAndPlacementWritesTheSameThreads) {
  for (const auto method : {WriteMethod::kDirect, WriteMethod::kDsync, WriteMethod::kFdatasync}) {
    for (const auto placement : {Placement::kInline, Placement::kExecutor, Placement::kAdaptive}) {
      const TempDirectory directory;
      auto opened =
          FileStorage::open(directory.path(), {.write_method = method, .placement = placement, .executor_threads = 4});
      if (!opened && opened.error().code == Errc::kInvalid) continue;  // refused by this file system
      ASSERT_TRUE(opened);
      auto& storage = **opened;
      EXPECT_EQ(storage.method(), method);
      const auto file = open_file(storage, "f", OpenMode::kCreate);
      ASSERT_TRUE(file);
      const auto a = blocks(3, 'a');
      const auto b = blocks(1, 'b');
      ASSERT_TRUE(write(storage, *file, 0, a.view()));
      ASSERT_TRUE(write(storage, *file, 4096, b.view()));
      for (const auto path : {Storage::ReadPath::kCached, Storage::ReadPath::kDevice}) {
        std::array<std::byte, 9000> some{};  // off alignment on purpose
        const auto got = read(storage, *file, 4000, some, path);
        ASSERT_TRUE(got) << got.error().to_string();
        EXPECT_EQ(*got, 12288u - 4000u);
        EXPECT_EQ(as_text(some).substr(0, 96), std::string(96, 'a'));
        EXPECT_EQ(as_text(some).substr(96, 4096), std::string(4096, 'b'));
        EXPECT_EQ(as_text(some).substr(96 + 4096, 4096), std::string(4096, 'a'));
        auto whole = blocks(4, 0);
        EXPECT_EQ(read(storage, *file, 0, whole.span(), path).value(), 12288u);
        EXPECT_EQ(read(storage, *file, 12288, whole.span(), path).value(), 0u);
        EXPECT_EQ(read(storage, *file, 1u << 20, some, path).value(), 0u);
      }
      storage.close(*file);
    }
  }
}

TEST(FileStorage, InlineAnswersInsideTheCall) {
  const TempDirectory directory;
  const auto storage = open_storage(directory.path(), {.placement = Placement::kInline});
  bool opened = false;
  storage->open("f", OpenMode::kCreate, [&](Result<FileId> file) { opened = file.has_value(); });
  EXPECT_TRUE(opened);
  EXPECT_EQ(storage->in_flight(), 0u);
  EXPECT_FALSE(storage->wait(MonoTime::never()));  // nothing is in flight: it does not block
}

TEST(FileStorage, AdaptiveLeavesTheLoopWhenTheDiskIsSlowAndComesBackThreads) {
  const TempDirectory directory;
  StepClock clock;
  const auto storage = open_storage(directory.path(), {.quick_writes_to_return = 3, .clock = &clock});
  const auto file = open_file(*storage, "f", OpenMode::kCreate);
  const auto block = blocks(1, 'x');
  EXPECT_TRUE(storage->writes_inline());
  ASSERT_TRUE(write(*storage, *file, 0, block.view()));
  EXPECT_TRUE(storage->writes_inline());

  clock.set_step(milliseconds(5));
  ASSERT_TRUE(write(*storage, *file, 0, block.view()));
  EXPECT_FALSE(storage->writes_inline());

  clock.set_step(milliseconds(1));
  bool answered = false;
  storage->write(*file, 0, block.view(), Storage::Durability::kDurable, [&](Result<void>) { answered = true; });
  EXPECT_FALSE(answered) << "a slow disk was waited for in the call";
  while (!answered && storage->wait(in(std::chrono::seconds(60)))) storage->poll();
  ASSERT_TRUE(write(*storage, *file, 0, block.view()));
  EXPECT_FALSE(storage->writes_inline());
  ASSERT_TRUE(write(*storage, *file, 0, block.view()));
  EXPECT_TRUE(storage->writes_inline());
}

TEST(FileStorage, ALargeWriteDoesNotHoldItsOwnerUpThreads) {
  const TempDirectory directory;
  const auto storage = open_storage(directory.path(), {.slow_write = std::chrono::minutes(1)});
  const auto file = open_file(*storage, "f", OpenMode::kCreate);
  bool answered = false;
  const auto write_blocks = [&](const AlignedBuffer& bytes) {
    answered = false;
    storage->write(*file, 0, bytes.view(), Storage::Durability::kDurable,
                   [&](Result<void> done) { answered = done.has_value(); });
  };
  const auto large = blocks(Storage::kLargeWriteBytes / Storage::kBlockBytes, 'l');
  const auto less = blocks(Storage::kLargeWriteBytes / Storage::kBlockBytes - 1, 's');
  write_blocks(large);
  EXPECT_FALSE(answered);
  while (!answered && storage->wait(in(std::chrono::seconds(60)))) storage->poll();
  EXPECT_TRUE(answered);
  write_blocks(less);
  EXPECT_TRUE(answered) << "the disk is quick";
}

TEST(FileStorage, ZerosAreThereByEveryMethodAndEveryPath) {
  for (const auto method : {WriteMethod::kDirect, WriteMethod::kDsync, WriteMethod::kFdatasync}) {
    const TempDirectory directory;
    auto opened = FileStorage::open(directory.path(), {.write_method = method, .placement = Placement::kInline});
    if (!opened && opened.error().code == Errc::kInvalid) continue;  // refused by this file system
    ASSERT_TRUE(opened);
    auto& storage = **opened;
    const auto file = open_file(storage, "f", OpenMode::kCreate);
    const auto a = blocks(3, 'a');
    // What was there by the cache, and by the device, and what was not there at all.
    ASSERT_TRUE(answer<void>(
        storage, [&](auto done) { storage.write(*file, 0, a.view(), Storage::Durability::kCached, std::move(done)); }));
    ASSERT_TRUE(write(storage, *file, 5 * 4096, a.view()));
    const std::uint64_t from = 4096, to = 5 * 4096 + 4096 + 700'416;
    ASSERT_TRUE(answer<void>(storage, [&](auto done) { storage.zero_fill(*file, from, to, std::move(done)); }));
    for (const auto path : {Storage::ReadPath::kCached, Storage::ReadPath::kDevice}) {
      std::vector<std::byte> all(to + 4096);
      ASSERT_EQ(read(storage, *file, 0, all, path).value(), to) << write_method_name(method);
      EXPECT_EQ(as_text(all).substr(0, from), std::string(from, 'a'));
      EXPECT_EQ(std::count(all.begin() + from, all.begin() + to, std::byte{0}), static_cast<std::ptrdiff_t>(to - from));
    }
  }
}

TEST(FileStorage, AFileIsCutOffInPiecesAndKeepsWhatIsInFront) {
  for (const auto placement : {Placement::kInline, Placement::kExecutor}) {
    const TempDirectory directory;
    const auto storage = open_storage(directory.path(), {.placement = placement});
    const auto file = open_file(*storage, "f", OpenMode::kCreate);
    const auto a = blocks(1, 'a');
    ASSERT_TRUE(write(*storage, *file, 0, a.view()));
    const auto ends_at = [&](std::uint64_t bytes) {
      EXPECT_TRUE(answer<void>(*storage, [&](auto done) { storage->truncate(*file, bytes, std::move(done)); }));
      EXPECT_EQ(std::filesystem::file_size(directory.path() / "f"), bytes);
    };
    const auto piece = StorageFile::truncate_piece(4096);
    for (const std::uint64_t bytes : {4 * piece + 4096, piece + 1, std::uint64_t{4096}, std::uint64_t{4096}})
      ends_at(bytes);
    std::vector<std::byte> all(4096);
    ASSERT_EQ(read(*storage, *file, 0, all, Storage::ReadPath::kCached).value(), 4096U);
    EXPECT_EQ(as_text(all), std::string(4096, 'a'));
    ends_at(0);
  }
}

TEST(StorageFile, AStepIsNoLargerThanARecordShouldWaitFor) {
  const TempDirectory directory;
  const int where = ::open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const auto file = StorageFile::open(where, "f", OpenMode::kCreate, WriteMethod::kDsync);
  ::close(where);
  ASSERT_TRUE(file);
  constexpr std::uint64_t kTo = 2 * StorageFile::kMostZeroBytes;
  for (const std::uint64_t write_bytes : {0U, 4096U, 8192U, 12288U, 65536U, 4194304U}) {
    const auto piece = StorageFile::zero_piece(write_bytes);
    EXPECT_LE(piece, StorageFile::kMostZeroBytes);
    EXPECT_EQ((*file)->zero_fill_step(0, kTo, write_bytes).value(), piece);
    EXPECT_EQ((*file)->zero_fill_step(kTo - 4096, kTo, write_bytes).value(), kTo);
  }
  const auto piece = StorageFile::truncate_piece(65536);
  EXPECT_LT(piece, StorageFile::truncate_piece(4096));
  EXPECT_LE(StorageFile::truncate_piece(4096), 4U << 20) << "10 ms for 64 MiB";
  EXPECT_FALSE((*file)->truncate_step(kTo - piece - 1, 65536).value());
  EXPECT_EQ(std::filesystem::file_size(directory.path() / "f"), kTo - piece);
  EXPECT_TRUE((*file)->truncate_step(kTo - piece - 1, 65536).value());
}

TEST(FileStorage, OperationsFromCompletionsAndManyInFlightThreads) {
  const TempDirectory directory;
  std::atomic<int> wakes{0};
  constexpr int kWrites = 64;
  int answered = 0;
  int deliveries = 0;
  {
    const auto storage = open_storage(
        directory.path(), {.placement = Placement::kExecutor, .executor_threads = 4, .wake = [&] { ++wakes; }});
    const auto file = open_file(*storage, "f", OpenMode::kCreate);
    deliveries = 1;
    const auto block = blocks(1, 'x');
    for (int i = 0; i < kWrites; ++i) {
      storage->write(*file, i * 4096u, block.view(), Storage::Durability::kDurable, [&, i](Result<void> first) {
        EXPECT_TRUE(first);
        storage->write(*file, i * 4096u, block.view(), Storage::Durability::kDurable, [&](Result<void> second) {
          EXPECT_TRUE(second);
          ++answered;
        });
      });
    }
    const MonoTime deadline = in(std::chrono::seconds(60));
    while (answered < kWrites && storage->wait(deadline)) deliveries += storage->poll() > 0;
    EXPECT_EQ(storage->in_flight(), 0u);
  }
  EXPECT_EQ(answered, kWrites);
  EXPECT_GE(wakes, 1);
  EXPECT_LE(wakes, deliveries) << "one wake for each time that completions began to wait";
}

TEST(FileStorage, WakeComesFromAnotherThreadBeforePollThreads) {
  const TempDirectory directory;
  std::atomic<bool> woken{false};
  const auto storage = open_storage(directory.path(), {.wake = [&] {
                                      woken = true;
                                      woken.notify_one();
                                    }});
  bool answered = false;
  storage->list([&](auto) { answered = true; });
  woken.wait(false);
  EXPECT_FALSE(answered);
  EXPECT_EQ(storage->poll(), 1u);
  EXPECT_TRUE(answered);
}

TEST(FileStorage, DestructionDropsWhatWasNotDeliveredThreads) {
  const TempDirectory directory;
  int calls = 0;
  const auto dropped = std::make_shared<int>(0);
  {
    const auto storage = open_storage(directory.path(), {.placement = Placement::kExecutor});
    const auto file = open_file(*storage, "f", OpenMode::kCreate);
    storage->zero_fill(*file, 0, 64u << 20, [&calls, dropped](Result<void>) { ++calls; });
    for (int i = 0; i < 20; ++i) storage->sync(*file, [&calls, dropped](Result<void>) { ++calls; });
  }
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(dropped.use_count(), 1);
}

TEST(FileStorage, PastItsBoundItAnswersBusyAtOnceThreads) {
  const TempDirectory directory;
  const auto storage = open_storage(directory.path(), {.in_flight_max = 2});
  std::vector<std::optional<Errc>> answers(3);
  for (auto& slot : answers) {
    storage->list([&](auto entries) { slot = entries ? std::nullopt : std::optional(entries.error().code); });
  }
  EXPECT_FALSE(answers[0]);
  EXPECT_EQ(answers[2], Errc::kBusy);
  while (storage->in_flight() > 0) {
    ASSERT_TRUE(storage->wait(in(std::chrono::seconds(60))));
    storage->poll();
  }
}

TEST(FileStorage, FilesAreForTheirOwnerAlone) {
  const TempDirectory directory;
  const auto storage = open_storage(directory.path(), {.placement = Placement::kInline});
  ASSERT_TRUE(open_file(*storage, "f", OpenMode::kCreate));
  struct stat status {};
  ASSERT_EQ(::stat((directory.path() / "f").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(FileStorage, ANameCannotLeaveTheDirectory) {
  const TempDirectory directory;
  const auto storage = open_storage(directory.path(), {.placement = Placement::kInline});
  for (const std::string name : {"../x", "/x", "", ".", "..", "a/b"}) {
    const auto file = open_file(*storage, name, OpenMode::kCreate);
    ASSERT_FALSE(file) << name;
    EXPECT_EQ(file.error().code, Errc::kInvalid);
  }
  fs::create_symlink("/etc/passwd", directory.path() / "link");
  EXPECT_FALSE(open_file(*storage, "link", OpenMode::kRead));
}

/// Lowers a limit of this process for a while.
class Limited {
 public:
  Limited(__rlimit_resource which, rlim_t soft) : which_(which) {
    ::getrlimit(which_, &before_);
    const rlimit lower{soft, before_.rlim_max};
    EXPECT_EQ(::setrlimit(which_, &lower), 0);
  }
  Limited(const Limited&) = delete;
  Limited& operator=(const Limited&) = delete;
  ~Limited() { ::setrlimit(which_, &before_); }

 private:
  __rlimit_resource which_;
  rlimit before_{};
};

TEST(FileStorage, AFailedDurableWriteIsFinalForTheFile) {
  ::signal(SIGXFSZ, SIG_IGN);
  for (const auto method : {WriteMethod::kDirect, WriteMethod::kDsync, WriteMethod::kFdatasync}) {
    const TempDirectory directory;
    auto storage = FileStorage::open(directory.path(), {.write_method = method, .placement = Placement::kInline});
    if (!storage) continue;
    const auto file = open_file(**storage, "f", OpenMode::kCreate);
    const auto data = blocks(4, 'x');
    {
      const Limited file_size(RLIMIT_FSIZE, 8192);  // the first half is written: a short count, then EFBIG
      const auto wrote = write(**storage, *file, 0, data.view());
      ASSERT_FALSE(wrote);
      EXPECT_EQ(wrote.error().code, Errc::kIo);
      EXPECT_EQ(wrote.error().os_errno, EFBIG);
      EXPECT_EQ(wrote.error().context, "write f at offset 0");
      EXPECT_EQ(wrote.error().subject, "f");
    }
    EXPECT_EQ(fs::file_size(directory.path() / "f"), 8192u);
    const auto synced = sync(**storage, *file);
    ASSERT_FALSE(synced) << "a sync after a failed write would say what is not so";
    EXPECT_EQ(synced.error().os_errno, EFBIG);
    EXPECT_FALSE(write(**storage, *file, 0, data.view()));
  }
}

TEST(FileStorage, DescriptorsRunOutAndNothingIsLeftBehind) {
  const TempDirectory directory;
  const auto storage = open_storage(directory.path(), {.placement = Placement::kInline});
  const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(next);
  for (const int room : {0, 1}) {  // not even the first descriptor; not the second
    const auto file = [&] {
      const Limited descriptors(RLIMIT_NOFILE, static_cast<rlim_t>(next + room));
      return open_file(*storage, "f", OpenMode::kCreate);
    }();
    if (file) continue;  // no O_DIRECT here, so one descriptor is enough
    EXPECT_EQ(file.error().os_errno, EMFILE);
    EXPECT_EQ(file.error().code, Errc::kIo);
    EXPECT_TRUE(fs::is_empty(directory.path()));
  }
  EXPECT_TRUE(open_file(*storage, "g", OpenMode::kCreate));
}

TEST(FileStorage, WorksInMemoryFileSystems) {
  ASSERT_TRUE(fs::exists("/dev/shm")) << "Linux has a tmpfs there";
  const TempDirectory directory("/dev/shm");
  const auto storage = open_storage(directory.path());
  const auto file = open_file(*storage, "f", OpenMode::kCreate);
  const auto data = blocks(1, 'x');
  ASSERT_TRUE(write(*storage, *file, 4096, data.view()));
  std::array<std::byte, 3> some{};
  EXPECT_EQ(read(*storage, *file, 4095, some, Storage::ReadPath::kDevice).value(), 3u);
  EXPECT_EQ(as_text(some), std::string_view("\0xx", 3));
}

TEST(StorageFile, WithoutDirectItFallsBackToDsyncAndStillReadsTheDevice) {
  const TempDirectory directory;
  const UniqueFd fd(::open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto file =
      StorageFile::open(fd.get(), "f", OpenMode::kCreate, WriteMethod::kDirect, StorageFile::Direct::kNever);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->method(), WriteMethod::kDsync);
  const auto data = blocks(2, 'd');
  ASSERT_TRUE((*file)->write_durable(0, data.view()));
  auto back = blocks(3, 0);
  EXPECT_EQ((*file)->read(0, back.span(), Storage::ReadPath::kDevice).value(), 8192u);
  EXPECT_TRUE(std::ranges::equal(back.span().first(8192), data.view()));
}

TEST(StorageFile, AFileThatIsNoFileIsRefusedWithoutBlocking) {
  const TempDirectory directory;
  ASSERT_EQ(::mkfifo((directory.path() / "pipe").c_str(), 0600), 0);
  const UniqueFd fd(::open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_FALSE(StorageFile::open(fd.get(), "pipe", OpenMode::kRead, WriteMethod::kFdatasync));
}

}  // namespace
}  // namespace qh
