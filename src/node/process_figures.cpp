#include "node/process_figures.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <ctime>
#include <mutex>
#include <string_view>

namespace qh::node {
namespace {

using Figure = std::optional<std::uint64_t>;

Figure leading_number(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  std::uint64_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

/// The open files; each read from its beginning makes their text anew.
class View {
 public:
  Figure open_descriptors() {
    if (descriptors_ == nullptr) return std::nullopt;
    ::rewinddir(descriptors_);
    std::uint64_t count = 0;
    while (const auto* entry = ::readdir(descriptors_)) count += entry->d_name[0] != '.' ? 1 : 0;
    return count;
  }

  void read_memory(ProcessFigures& into) {
    const auto text = read(statm_);
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    into.virtual_bytes = leading_number(text);
    if (const auto space = text.find(' '); space != text.npos) into.resident_bytes = leading_number(text.substr(space));
    if (into.virtual_bytes) *into.virtual_bytes *= page;
    if (into.resident_bytes) *into.resident_bytes *= page;
  }

  Figure threads() {
    constexpr std::string_view kName = "\nThreads:";
    const auto text = read(status_);
    const auto at = text.find(kName);
    return at == text.npos ? std::nullopt : leading_number(text.substr(at + kName.size()));
  }

  std::mutex mutex;  ///< over each call

 private:
  std::string_view read(int file) {
    const auto got = file < 0 ? -1 : ::pread(file, buffer_.data(), buffer_.size(), 0);
    return {buffer_.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
  }

  DIR* descriptors_ = ::opendir("/proc/self/fd");
  int statm_ = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  int status_ = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  std::array<char, 8192> buffer_{};
};

View& view() {
  static View the_view;
  return the_view;
}

}  // namespace

ProcessFigures process_figures() {
  auto& seen = view();
  const std::lock_guard lock(seen.mutex);
  ProcessFigures figures;
  timespec cpu{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  figures.cpu_seconds = static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) * 1e-9;
  seen.read_memory(figures);
  figures.open_fds = seen.open_descriptors();
  figures.threads = seen.threads();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) figures.max_fds = limit.rlim_cur;
  return figures;
}

}  // namespace qh::node
