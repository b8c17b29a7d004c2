#include "node/port_holder.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>

namespace qh::node {
namespace {

namespace fs = std::filesystem;

struct Listener {
  std::string inode, uid;
};

/// A line of /proc/net/tcp: "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...".
std::optional<Listener> listener_in(const char* table, std::uint16_t port) {
  constexpr std::string_view kListen = "0A";
  std::ifstream in(table);
  std::string line;
  std::getline(in, line);  // the titles
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    words >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
    const auto colon = local.rfind(':');
    if (state != kListen || colon == local.npos) continue;
    unsigned local_port = 0;
    std::from_chars(local.data() + colon + 1, local.data() + local.size(), local_port, 16);
    if (local_port == port) return Listener{inode, uid};
  }
  return std::nullopt;
}

bool holds(const fs::path& process, const std::string& socket) {
  std::error_code error;
  for (fs::directory_iterator fd(process / "fd", error), end; !error && fd != end; fd.increment(error)) {
    std::error_code unreadable;
    if (fs::read_symlink(fd->path(), unreadable).native() == socket) return true;
  }
  return false;
}

}  // namespace

std::string port_holder(std::uint16_t port) {
  auto listener = listener_in("/proc/net/tcp", port);
  if (!listener) listener = listener_in("/proc/net/tcp6", port);
  if (!listener) return {};
  const auto socket = "socket:[" + listener->inode + "]";
  std::error_code error;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end; process.increment(error)) {
    const auto pid = process->path().filename().string();
    if (!std::all_of(pid.begin(), pid.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    if (!holds(process->path(), socket)) continue;
    std::ifstream in(process->path() / "comm");
    std::string program;
    std::getline(in, program);
    return "pid " + pid + " (" + program + ")";
  }
  return "a process of user " + listener->uid + " that this user may not look into";
}

}  // namespace qh::node
