// tests/node/own_mounts.h - file systems of a test's own, which nobody else sees and which end with it.
//
// The calling process moves into a mount namespace of its own (and a user namespace where it is not root); what it
// starts from then on is in there too.
//
// Threads  call while there is but one.
#pragma once

#include <filesystem>
#include <string>

namespace qh::test {

/// A tmpfs over a directory that is there. Fails the test where the kernel does not allow it.
class OwnTmpfs {
 public:
  OwnTmpfs(const std::filesystem::path& at, std::size_t bytes);
  ~OwnTmpfs();
  OwnTmpfs(const OwnTmpfs&) = delete;
  OwnTmpfs& operator=(const OwnTmpfs&) = delete;
  void resize(std::size_t bytes) const;
  void set_read_only(bool read_only) const;

 private:
  std::filesystem::path at_;
  std::size_t bytes_;
};

}  // namespace qh::test
