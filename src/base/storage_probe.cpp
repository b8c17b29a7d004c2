#include "base/storage_probe.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <vector>

#include "base/bytes.h"
#include "base/file_storage_file.h"

namespace qh {
namespace {

constexpr std::size_t kFileBytes = kProbeWrites * std::size_t{Storage::kBlockBytes};

struct ProbeFile {
  UniqueFd plain;
  UniqueFd direct;
  int direct_errno = 0;
};

/// 0 or the errno; the name is gone when this returns.
int make_file(int directory_fd, ProbeFile& file) {
  static std::atomic<unsigned> count{0};
  const std::string name = ".probe-" + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".tmp";
  file.plain = UniqueFd(::openat(directory_fd, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.plain) return errno;
  file.direct = UniqueFd(::openat(directory_fd, name.c_str(), O_RDWR | O_CLOEXEC | O_DIRECT));
  if (!file.direct) file.direct_errno = errno;
  ::unlinkat(directory_fd, name.c_str(), 0);
  const AlignedBuffer zeros(kFileBytes);
  if (const int error = write_plain(file.plain.get(), zeros.view(), 0)) return error;
  return ::fsync(file.plain.get()) == 0 ? 0 : errno;
}

Duration median(std::vector<Duration>& times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// False: the method does not work here.
bool measure_one(ProbeReport::Line& line, const ProbeFile& file, int round, const AlignedBuffer& block,
                 std::vector<Duration>& times, Clock& clock) {
  if (line.method == WriteMethod::kDirect && !file.direct) {
    line.os_errno = file.direct_errno;
    return false;
  }
  const auto offset = static_cast<std::uint64_t>(round) * Storage::kBlockBytes;
  const MonoTime start = clock.mono();
  const int error = write_durably(line.method, file.plain.get(), file.direct.get(), block.view(), offset);
  times.push_back(clock.mono() - start);
  line.os_errno = error;
  return error == 0;
}

}  // namespace

std::string_view write_method_name(WriteMethod method) {
  switch (method) {
    case WriteMethod::kAuto:
      return "auto";
    case WriteMethod::kDirect:
      return "direct";
    case WriteMethod::kDsync:
      return "dsync";
    case WriteMethod::kFdatasync:
      return "fdatasync";
  }
  return "unknown";
}

const ProbeReport::Line& ProbeReport::line(WriteMethod method) const {
  INVARIANT(method != WriteMethod::kAuto, "auto has no measurement of its own");
  return lines[static_cast<std::size_t>(method) - 1];
}

std::string ProbeReport::to_string() const {
  std::string text;
  for (const Line& line : lines) {
    if (line.writes == 0 && line.os_errno == 0) continue;
    text.append(text.empty() ? "" : ", ").append(write_method_name(line.method)).append(" ");
    if (line.writes == 0) {
      text.append("refused (").append(std::generic_category().message(line.os_errno)).append(")");
    } else {
      text.append(std::to_string(line.median.count() / 1000)).append(" us");
    }
  }
  if (!note.empty()) text.append(text.empty() ? "" : ", ").append(note);
  return std::string(write_method_name(chosen)) + (text.empty() ? "" : " (" + text + ")");
}

ProbeReport probe_storage(int directory_fd, WriteMethod wanted, Clock& clock) {
  ProbeReport report;
  report.lines[0].method = WriteMethod::kDirect;
  report.lines[1].method = WriteMethod::kDsync;
  report.lines[2].method = WriteMethod::kFdatasync;

  ProbeFile file;
  if (const int error = make_file(directory_fd, file)) {
    report.note = "not measured (" + std::generic_category().message(error) + ")";
    return report;
  }
  const AlignedBuffer block(Storage::kBlockBytes);
  std::array<std::vector<Duration>, 3> times;
  std::array<bool, 3> works{};
  for (std::size_t i = 0; i < 3; ++i) works[i] = wanted == WriteMethod::kAuto || wanted == report.lines[i].method;

  // In turn and not one after the other, so that a hiccup of the disk hits all of them alike.
  const int rounds = wanted == WriteMethod::kAuto ? kProbeWrites : 1;
  const MonoTime end = clock.mono() + kProbeBudget;
  for (int round = 0; round < rounds && (round == 0 || clock.mono() < end); ++round) {
    for (std::size_t i = 0; i < 3; ++i) {
      if (works[i]) works[i] = measure_one(report.lines[i], file, round, block, times[i], clock);
    }
  }

  const ProbeReport::Line* best = nullptr;
  for (std::size_t i = 0; i < 3; ++i) {
    if (!works[i]) continue;
    auto& line = report.lines[i];
    line.writes = static_cast<int>(times[i].size());
    line.median = median(times[i]);
    // In the order of preference: a difference of a few percent is the noise of so short a look.
    if (best == nullptr || line.median < best->median * 4 / 5) best = &line;
  }
  if (best != nullptr) report.chosen = best->method;
  return report;
}

}  // namespace qh
