// bench/pieces - what preparing and removing segments costs the durable writes beside them, by the size of the pieces.
//
//   ./dev bench pieces [--dir DIRECTORY]
//   bench/with_journal.sh build/release/bin/bench_pieces      the same on an ext4 with a journal
//
// As a log does: a segment full of writes, one after the other, while on another thread the next one is filled with
// zeros, or an old one removed. StorageFile::zero_piece and truncate_piece come from here (ADR 5).
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/bytes.h"

namespace qh {
namespace {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

constexpr std::size_t kLogBytes = 64U << 20;

void check(bool good, const std::filesystem::path& what) {
  if (!good) throw std::system_error(errno, std::generic_category(), what.string());
}

class File {
 public:
  explicit File(std::filesystem::path path)
      : path_(std::move(path)), fd_(::open(path_.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600)) {
    check(fd_ >= 0, path_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(fd_); }

  void fill(ByteView from, std::size_t bytes) const {
    for (std::size_t at = 0; at < bytes; at += from.size())
      check(::pwrite(fd_, from.data(), from.size(), static_cast<off_t>(at)) == static_cast<ssize_t>(from.size()),
            path_);
    check(::fdatasync(fd_) == 0, path_);
  }
  void write_durably(AlignedBuffer& bytes, std::size_t at) const {
    const iovec part{bytes.data(), bytes.size()};
    check(::pwritev2(fd_, &part, 1, static_cast<off_t>(at), RWF_DSYNC) == static_cast<ssize_t>(bytes.size()), path_);
  }

 private:
  std::filesystem::path path_;
  int fd_;
};

enum class Beside : std::uint8_t { kNothing, kZeros, kRemoval };

struct Load {
  std::size_t write_bytes, segment_bytes, segments;
};

class Trial {
 public:
  Trial(std::filesystem::path dir, Beside beside, std::size_t piece, Load load)
      : dir_(std::move(dir)), beside_(beside), piece_(piece), load_(load) {}

  /// Microseconds of each write.
  std::vector<double> run() {
    AlignedBuffer sevens(1U << 20);  // a file of zeros is not what a log leaves
    std::fill_n(sevens.data(), sevens.size(), std::byte{7});
    const File log(dir_ / "log");
    log.fill(sevens.view(), kLogBytes);
    if (beside_ == Beside::kRemoval) {
      for (std::size_t i = 0; i < load_.segments; ++i) File(segment(i)).fill(sevens.view(), load_.segment_bytes);
    }
    auto other = std::async(std::launch::async, [this] { work_beside(); });
    auto took = writes_until_done(log);
    other.get();
    for (std::size_t i = 0; i < load_.segments; ++i) std::filesystem::remove(segment(i));
    return took;
  }

 private:
  std::filesystem::path segment(std::size_t i) const { return dir_ / std::to_string(i); }

  /// Ends the work beside, also by an error: whoever waits for that would wait for ever.
  std::vector<double> writes_until_done(const File& log) {
    struct Stop {
      std::atomic<bool>& flag;
      ~Stop() { flag = true; }
    } const stop{stopping_};
    return writes(log);
  }

  std::vector<double> writes(const File& log) {
    AlignedBuffer bytes(load_.write_bytes);
    std::fill_n(bytes.data(), bytes.size(), std::byte{9});
    const auto count = load_.segments * load_.segment_bytes / load_.write_bytes;
    std::vector<double> took;
    took.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto began = Clock::now();
      log.write_durably(bytes, i * load_.write_bytes % kLogBytes);
      took.push_back(Microseconds(Clock::now() - began).count());
      wanted_ = (i + 1) * load_.write_bytes / load_.segment_bytes;
    }
    return took;
  }

  void work_beside() {
    const AlignedBuffer zeros(beside_ == Beside::kZeros ? piece_ : 0);
    for (std::size_t done = 0; !stopping_;) {
      if (done == wanted_) {
        std::this_thread::sleep_for(std::chrono::microseconds(300));
        continue;
      }
      if (beside_ == Beside::kZeros) File(segment(done)).fill(zeros.view(), load_.segment_bytes);
      if (beside_ == Beside::kRemoval) remove(segment(done));
      ++done;
    }
  }

  void remove(const std::filesystem::path& path) const {
    for (std::size_t size = load_.segment_bytes - piece_; size > 0; size -= piece_)
      check(::truncate(path.c_str(), static_cast<off_t>(size)) == 0, path);
    check(::unlink(path.c_str()) == 0, path);
  }

  std::filesystem::path dir_;
  Beside beside_;
  std::size_t piece_;
  Load load_;
  std::atomic<std::size_t> wanted_{0};
  std::atomic<bool> stopping_{false};
};

void line(const std::filesystem::path& dir, std::string_view what, Beside beside, std::size_t piece, Load load) {
  auto took = Trial(dir, beside, piece, load).run();
  std::sort(took.begin(), took.end());
  const auto at = [&](double share) {
    return took[static_cast<std::size_t>(share * static_cast<double>(took.size()))];
  };
  const auto name = beside == Beside::kNothing ? std::string(what) : fmt::format("{} by {} KiB", what, piece >> 10);
  fmt::print("  {:<22}{:>7.0f}{:>7.0f}{:>7.0f}{:>7.0f}{:>7.0f}{:>8.0f}\n", name, at(0.5), at(0.9), at(0.95), at(0.99),
             at(0.999), took.back());
}

void table(const std::filesystem::path& dir, Load load, const std::vector<std::size_t>& zeros_kib,
           const std::vector<std::size_t>& removal_kib) {
  fmt::print("durable writes of {} KiB, segments of {} MiB, us\n", load.write_bytes >> 10, load.segment_bytes >> 20);
  fmt::print("  {:<22}{:>7}{:>7}{:>7}{:>7}{:>7}{:>8}\n", "beside them", "p50", "p90", "p95", "p99", "p99.9", "most");
  line(dir, "nothing", Beside::kNothing, 0, load);
  for (const auto kib : zeros_kib) line(dir, "zeros", Beside::kZeros, kib << 10, load);
  for (const auto kib : removal_kib) line(dir, "removal", Beside::kRemoval, kib << 10, load);
}

int run(int argc, char** argv) {
  auto dir = std::filesystem::temp_directory_path();
  if (argc == 3 && std::string_view(argv[1]) == "--dir") {
    dir = argv[2];
  } else if (argc != 1) {
    fmt::print(stderr, "usage: {} [--dir DIRECTORY]\n", argv[0]);
    return 2;
  }
  dir /= "qh-bench-pieces";
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  fmt::print("pieces, in {}\n", dir.string());
  constexpr std::size_t kSmall = 4U << 20, kLarge = 64U << 20;
  table(dir, {4U << 10, kSmall, 24}, {16, 64, 256, 1024}, {512, 4096});
  table(dir, {32U << 10, kSmall, 64}, {16, 64, 256, 1024}, {512, 4096});
  table(dir, {32U << 10, kLarge, 6}, {}, {256, 512, 1024, 65536});
  std::filesystem::remove_all(dir);
  return 0;
}

}  // namespace
}  // namespace qh

int main(int argc, char** argv) {
  try {
    return qh::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
