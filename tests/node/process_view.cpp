#include "process_view.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace qh::test {

std::size_t open_descriptors(pid_t pid) {
  std::error_code error;
  std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd", error);
  EXPECT_FALSE(error) << error.message();
  return static_cast<std::size_t>(std::distance(all, std::filesystem::directory_iterator()));
}

std::size_t resident_bytes(pid_t pid) {
  std::size_t pages = 0, resident = 0;
  std::ifstream("/proc/" + std::to_string(pid) + "/statm") >> pages >> resident;
  EXPECT_GT(resident, 0U);
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t limit_descriptors(pid_t pid, std::size_t most) {
  rlimit limit{};
  EXPECT_EQ(::prlimit(pid, RLIMIT_NOFILE, nullptr, &limit), 0);
  const auto before = limit.rlim_cur;
  limit.rlim_cur = std::min<rlim_t>(most, limit.rlim_max);
  EXPECT_EQ(::prlimit(pid, RLIMIT_NOFILE, &limit, nullptr), 0);
  return before;
}

bool may_open(std::size_t descriptors) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  if (limit.rlim_cur >= descriptors) return true;
  limit.rlim_cur = descriptors;
  limit.rlim_max = std::max<rlim_t>(limit.rlim_max, descriptors);
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

}  // namespace qh::test
