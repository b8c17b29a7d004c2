#include "node_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>

#include <gtest/gtest.h>

namespace qh::test {
namespace {

using Clock = std::chrono::steady_clock;

int left_ms(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left < 0 ? 0 : static_cast<int>(left);
}

bool can_bind(const sockaddr* address, socklen_t size) {
  const int fd = ::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;  // no such addresses here
  const int yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const bool free = ::bind(fd, address, size) == 0 || errno == EADDRNOTAVAIL;
  ::close(fd);
  return free;
}

bool is_free(std::uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_loopback;
  return can_bind(reinterpret_cast<sockaddr*>(&v4), sizeof v4) && can_bind(reinterpret_cast<sockaddr*>(&v6), sizeof v6);
}

struct Pipes {
  int parent_out = -1, child_out = -1, parent_err = -1, child_err = -1;
};

Pipes open_pipes(bool terminal) {
  Pipes pipes;
  std::array<int, 2> err{};
  EXPECT_EQ(::pipe2(err.data(), O_CLOEXEC), 0);
  pipes.parent_err = err[0];
  pipes.child_err = err[1];
  if (terminal) {
    pipes.parent_out = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT_EQ(::grantpt(pipes.parent_out), 0);
    EXPECT_EQ(::unlockpt(pipes.parent_out), 0);
    pipes.child_out = ::open(::ptsname(pipes.parent_out), O_RDWR | O_NOCTTY | O_CLOEXEC);
    return pipes;
  }
  std::array<int, 2> out{};
  EXPECT_EQ(::pipe2(out.data(), O_CLOEXEC), 0);
  pipes.parent_out = out[0];
  pipes.child_out = out[1];
  return pipes;
}

std::string program() {
  const char* directory = std::getenv("QH_BIN_DIR");
  EXPECT_NE(directory, nullptr) << "QH_BIN_DIR is set by ctest";
  return std::string(directory != nullptr ? directory : ".") + "/quantumharmony-node";
}

std::vector<std::string> with_data(std::vector<std::string> arguments, const std::filesystem::path& data,
                                   unsigned offset) {
  arguments.insert(arguments.end(), {"--data-dir", data.string(), "--port-offset", std::to_string(offset)});
  return arguments;
}

}  // namespace

TempDir::TempDir() {
  std::string path = (std::filesystem::temp_directory_path() / "qh-node-XXXXXX").string();
  EXPECT_NE(::mkdtemp(path.data()), nullptr);
  path_ = path;
}
TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

unsigned free_port_offset(unsigned count) {
  // Below the ports that the kernel gives to outgoing connections; tests that run together start apart.
  for (unsigned attempt = 0; attempt < 500; ++attempt) {
    const unsigned offset = 1'000 + (static_cast<unsigned>(::getpid()) * 16 + attempt * 16) % 20'000;
    bool free =
        is_free(static_cast<std::uint16_t>(8080 + offset)) && is_free(static_cast<std::uint16_t>(9950 + offset));
    for (unsigned i = 0; i < count; ++i) free = free && is_free(static_cast<std::uint16_t>(9944 + offset + i));
    if (free) return offset;
  }
  ADD_FAILURE() << "no free ports";
  return 0;
}

NodeProcess::NodeProcess(std::vector<std::string> arguments, const Options& options) {
  const auto pipes = open_pipes(options.terminal);
  arguments.insert(arguments.begin(), program());
  arguments.insert(arguments.begin(), options.wrapper.begin(), options.wrapper.end());
  std::vector<std::string> environment{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C"};
  for (const auto& [name, value] : options.environment) environment.push_back(name + "=" + value);
  // What a sanitizer is told has to reach the child.
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) environment.push_back(std::string(name) + "=" + value);
  }
  std::vector<char*> argv, envp;
  for (auto& argument : arguments) argv.push_back(argument.data());
  for (auto& variable : environment) envp.push_back(variable.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(pipes.child_out, STDOUT_FILENO);
    ::dup2(pipes.child_err, STDERR_FILENO);
    ::execve(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  ::close(pipes.child_out);
  ::close(pipes.child_err);
  out_fd_ = pipes.parent_out;
  err_fd_ = pipes.parent_err;
  if (options.stderr_bytes > 0) {
    EXPECT_GE(::fcntl(err_fd_, F_SETPIPE_SZ, options.stderr_bytes), options.stderr_bytes);
  }
}

NodeProcess::~NodeProcess() {
  if (!ended_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  if (out_fd_ >= 0) ::close(out_fd_);
  if (err_fd_ >= 0) ::close(err_fd_);
}

bool NodeProcess::read_some(Clock::time_point deadline) {
  if (out_fd_ < 0 && err_fd_ < 0) return false;
  std::array<pollfd, 2> fds{pollfd{out_fd_, POLLIN, 0}, pollfd{err_fd_, POLLIN, 0}};
  if (::poll(fds.data(), fds.size(), left_ms(deadline)) <= 0) return false;
  const auto drain = [](pollfd& from, int& fd, std::string& into) {
    if (from.revents == 0) return;
    std::array<char, 4096> bytes;
    const auto got = ::read(fd, bytes.data(), bytes.size());
    if (got > 0) {
      into.append(bytes.data(), static_cast<std::size_t>(got));
    } else {
      ::close(fd);
      fd = -1;  // poll passes over it
    }
  };
  drain(fds[0], out_fd_, out_);
  drain(fds[1], err_fd_, err_);
  return out_fd_ >= 0 || err_fd_ >= 0;
}

bool NodeProcess::says(std::string_view text) {
  const auto deadline = Clock::now() + kPatience;
  const auto said = [&] { return out_.find(text) != out_.npos || err_.find(text) != err_.npos; };
  while (!said()) {
    if (!read_some(deadline)) return said();
  }
  return true;
}

void NodeProcess::ignore_until(std::chrono::steady_clock::time_point deadline) {
  while (read_some(deadline)) {
    out_.clear();
    err_.clear();
  }
}

int NodeProcess::wait() {
  const auto deadline = Clock::now() + kPatience;
  while (!ended_ && read_some(deadline)) {
  }
  if (!ended_) {
    if (out_fd_ >= 0 || err_fd_ >= 0) {
      ADD_FAILURE() << "it did not end; it said:\n" << out_ << err_;
      ::kill(pid_, SIGKILL);
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return *ended_;
}

std::string NodeProcess::threads() const {
  std::string all;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/task")) {
    for (const char* file : {"comm", "wchan", "syscall"}) {
      std::string line;
      std::getline(std::ifstream(task.path() / file), line);
      all += line + "  ";
    }
    all += '\n';
  }
  return all;
}

bool NodeProcess::ends_unread() const {
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  pollfd wait{process, POLLIN, 0};
  const bool ended = ::poll(&wait, 1, left_ms(Clock::now() + kPatience)) == 1;
  ::close(process);
  return ended;
}

void NodeProcess::send_signal(int signal) const { ::kill(pid_, signal); }

int NodeProcess::repeat_until_it_ends(int signal) {
  const auto deadline = Clock::now() + kPatience;
  while (!ended_ && Clock::now() < deadline) {
    send_signal(signal);
    for (const auto next = Clock::now() + std::chrono::milliseconds(200); !ended_ && read_some(next);) {
    }
    if (out_fd_ < 0 && err_fd_ < 0) break;  // it has ended
  }
  return wait();
}

int NodeProcess::stop() {
  send_signal(SIGTERM);
  return wait();
}

NodeProcess::Options with_open_files(std::size_t files) {
  return {.environment = {}, .wrapper = {"/usr/bin/prlimit", "--nofile=" + std::to_string(files)}};
}

DevNode::DevNode(std::vector<std::string> more, const std::filesystem::path& data, const NodeProcess::Options& how)
    : offset_(free_port_offset()),
      process_(with_data(std::move(more), data.empty() ? directory_.path() : data, offset_), how) {
  // All listen before the first of these lines is written.
  EXPECT_TRUE(process_.says("ready on port")) << process_.err();
}

}  // namespace qh::test
