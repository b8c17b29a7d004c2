#include "base/read_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/file_storage_error.h"
#include "base/file_storage_file.h"

namespace qh {
namespace {

constexpr std::size_t kReadBytes = 256U << 10;

}  // namespace

Result<std::string> read_descriptor(int fd, const std::string& name, std::uint64_t bytes_max) {
  std::string text;
  while (true) {
    const auto had = text.size();
    text.resize(had + kReadBytes);
    const auto got = ::read(fd, text.data() + had, kReadBytes);
    text.resize(had + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && errno != EINTR) return storage_error(errno, "read", name);
    if (got == 0) return text;
    if (text.size() <= bytes_max) continue;
    Error error(Errc::kTooLarge, "read " + name + ": it has more than " + std::to_string(bytes_max) + " bytes");
    error.size = text.size();
    error.limit = bytes_max;
    return fail(std::move(error).about(name));
  }
}

Result<std::string> read_file(const std::filesystem::path& file, std::uint64_t bytes_max) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return storage_error(errno, "read", file.native());
  return read_descriptor(fd.get(), file.native(), bytes_max);
}

}  // namespace qh
