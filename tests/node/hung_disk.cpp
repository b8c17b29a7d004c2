// Preloaded before a node: a disk that hangs. While the file $QH_HUNG_MARK is there, whatever writes to or syncs a file
// whose path has $QH_HUNG_PATH in it waits, for 5 ms at least. A record's write makes the file
// $QH_HUNG_MARK.waits.
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool is_on_it(int fd) {
  const char* part = std::getenv("QH_HUNG_PATH");
  char link[64], path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const auto size = ::readlink(link, path, sizeof path - 1);
  if (part == nullptr || size <= 0) return false;
  path[size] = '\0';
  return std::strstr(path, part) != nullptr;
}

void wait_while_it_hangs(int fd) {
  const char* mark = std::getenv("QH_HUNG_MARK");
  while (mark != nullptr && ::access(mark, F_OK) == 0 && is_on_it(fd)) {
    char thread[16] = {}, waits[PATH_MAX];
    ::prctl(PR_GET_NAME, thread);
    std::snprintf(waits, sizeof waits, "%s.waits", mark);
    // Not for a segment that is made ready meanwhile.
    if (std::strcmp(thread, "qh-disk-back") != 0) ::close(::open(waits, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    (void)::poll(nullptr, 0, 5);
  }
}

template <class Function>
Function real(Function, const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

ssize_t pwritev2(int fd, const iovec* parts, int count, off_t at, int flags) {
  wait_while_it_hangs(fd);
  return real(&pwritev2, "pwritev2")(fd, parts, count, at, flags);
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  wait_while_it_hangs(fd);
  return real(&pwrite, "pwrite")(fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  wait_while_it_hangs(fd);
  return real(&pwrite64, "pwrite64")(fd, bytes, size, at);
}
int fsync(int fd) {
  wait_while_it_hangs(fd);
  return real(&fsync, "fsync")(fd);
}
int fdatasync(int fd) {
  wait_while_it_hangs(fd);
  return real(&fdatasync, "fdatasync")(fd);
}
}
