// tests/node/node_process.h - quantumharmony-node as a person or systemd runs it, and what it says.
//
// Everything waits for a condition with a deadline; nothing sleeps for a time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qh::test {

inline constexpr std::chrono::seconds kPatience(20);

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// An offset at which `count` ports from the first validator's on, and those of the node, are free on 127.0.0.1 and
/// ::1.
unsigned free_port_offset(unsigned count = 14);

class NodeProcess {
 public:
  struct Options {
    std::map<std::string, std::string> environment;
    bool terminal = false;             ///< stdout is one
    int stderr_bytes = 0;              ///< what its stderr holds when nobody reads it; 0: as the kernel gives it
    std::vector<std::string> wrapper;  ///< a program and its arguments that start the node, as strace -D does
  };

  /// Starts it; HOME and XDG_STATE_HOME point into nowhere.
  explicit NodeProcess(std::vector<std::string> arguments) : NodeProcess(std::move(arguments), Options{}) {}
  NodeProcess(std::vector<std::string> arguments, const Options& options);
  /// SIGKILL, if it still runs.
  ~NodeProcess();
  NodeProcess(const NodeProcess&) = delete;
  NodeProcess& operator=(const NodeProcess&) = delete;

  /// Until it has said `text` on stdout or stderr; false when it ended or time was up.
  bool says(std::string_view text);
  /// Hears what it says until then, and forgets it, so that a long run does not fill the pipe.
  void ignore_until(std::chrono::steady_clock::time_point deadline);
  /// The exit code, or 128 + the signal that ended it. Fails the test when it does not end.
  int wait();
  /// Whether it ends by itself while nobody reads what it says.
  bool ends_unread() const;
  void send_signal(int signal) const;
  /// As wait(), and sends it several times a second meanwhile.
  int repeat_until_it_ends(int signal);
  int stop();  ///< SIGTERM, then wait()

  /// What each of its threads does in the kernel: for the message of a test that waits in vain.
  std::string threads() const;
  pid_t pid() const { return pid_; }
  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }

 private:
  bool read_some(std::chrono::steady_clock::time_point deadline);

  pid_t pid_ = -1;
  int out_fd_ = -1, err_fd_ = -1;
  std::string out_, err_;
  std::optional<int> ended_;
};

/// At most so many files open at once.
NodeProcess::Options with_open_files(std::size_t files);

/// Three dev validators on free ports, ready.
class DevNode {
 public:
  explicit DevNode(std::vector<std::string> more = {}, const std::filesystem::path& data = {},
                   const NodeProcess::Options& how = {});

  std::uint16_t web_port() const { return static_cast<std::uint16_t>(8080 + offset_); }
  std::uint16_t metrics_port() const { return static_cast<std::uint16_t>(9950 + offset_); }
  /// With --binary-port 9955.
  std::uint16_t binary_port(unsigned validator = 0) const {
    return static_cast<std::uint16_t>(9955 + offset_ + validator);
  }
  std::uint16_t port(unsigned validator = 0) const { return static_cast<std::uint16_t>(9944 + offset_ + validator); }
  NodeProcess& process() { return process_; }

 private:
  TempDir directory_;
  unsigned offset_;
  NodeProcess process_;
};

}  // namespace qh::test
