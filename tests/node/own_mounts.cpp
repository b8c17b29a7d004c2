#include "own_mounts.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include <gtest/gtest.h>

namespace qh::test {
namespace {

bool enter_namespaces() {
  const auto uid = ::geteuid();
  const auto gid = ::getegid();
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << gid << " 1";
  }
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;  // what we mount stays ours
}

/// What to do about it.
const char* remedy_for(int error) {
  if (error == EINVAL)
    return "/ is no mount point here (a plain chroot): bind it onto itself first (mount --bind DIR DIR, then chroot)";
  return "run this as root, or allow user namespaces (kernel.unprivileged_userns_clone)";
}

std::string size_option(std::size_t bytes) { return "size=" + std::to_string(bytes); }

}  // namespace

OwnTmpfs::OwnTmpfs(const std::filesystem::path& at, std::size_t bytes) : at_(at), bytes_(bytes) {
  static const bool entered = enter_namespaces();
  const int error = errno;
  EXPECT_TRUE(entered) << "no mount namespace of our own: " << std::strerror(error) << "; " << remedy_for(error);
  EXPECT_EQ(::mount("qh-test", at_.c_str(), "tmpfs", 0, size_option(bytes).c_str()), 0) << std::strerror(errno);
}

OwnTmpfs::~OwnTmpfs() { ::umount2(at_.c_str(), MNT_DETACH); }

void OwnTmpfs::resize(std::size_t bytes) const {
  EXPECT_EQ(::mount("none", at_.c_str(), nullptr, MS_REMOUNT, size_option(bytes).c_str()), 0) << std::strerror(errno);
}

void OwnTmpfs::set_read_only(bool read_only) const {
  unsigned long flags = MS_REMOUNT;
  if (read_only) flags |= MS_RDONLY;
  EXPECT_EQ(::mount("none", at_.c_str(), nullptr, flags, size_option(bytes_).c_str()), 0) << std::strerror(errno);
}

}  // namespace qh::test
