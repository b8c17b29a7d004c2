#include "node/log.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "queue/json_text.h"

namespace qh::node {
namespace {

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

/// Knows how many lines it has written.
class CountingSink final : public spdlog::sinks::stderr_sink_mt {
 public:
  void log(const spdlog::details::log_msg& line) override {
    spdlog::sinks::stderr_sink_mt::log(line);
    const std::lock_guard lock(mutex_);
    ++written_;
    changed_.notify_all();
  }
  bool wait_for(std::uint64_t written, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, [&] { return written_ >= written; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t written_ = 0;
};

struct Log {
  std::shared_ptr<CountingSink> sink = std::make_shared<CountingSink>();
  std::shared_ptr<spdlog::details::thread_pool> writer;  ///< nullptr before start_log()
  std::shared_ptr<spdlog::logger> logger = std::make_shared<spdlog::logger>("qh", sink);
  LogFormat format = LogFormat::kText;
  std::atomic<std::uint64_t> asked = 0, dropped_told = 0;
};

Log& the_log() {
  static Log log;
  return log;
}

void write(Log& to, LogLevel level, std::string_view validator, std::string_view text) {
  if (!to.logger->should_log(level_of(level))) return;
  std::string line;
  if (to.format == LogFormat::kJson) {
    if (!validator.empty()) {
      line += "\"validator\":";
      queue::write_json_string(validator, line);
      line += ',';
    }
    line += "\"message\":";
    queue::write_json_string(text, line);
  } else {
    if (!validator.empty()) line.append(validator).append(": ");
    line += text;
  }
  ++to.asked;
  to.logger->log(level_of(level), spdlog::string_view_t(line.data(), line.size()));
}

/// At the level of a line that is written anyway, and only once there is room again: it would push out another one.
void tell_dropped(Log& log, LogLevel level) {
  if (!log.writer || !log.logger->should_log(level_of(level))) return;
  const std::uint64_t dropped = log.writer->overrun_counter();
  auto told = log.dropped_told.load();
  if (dropped <= told || log.writer->queue_size() >= kLogLinesMax / 2) return;
  if (log.dropped_told.compare_exchange_strong(told, dropped))
    write(log, level, {}, std::to_string(dropped - told) + " lines of the log were dropped: stderr took none");
}

}  // namespace

void start_log(LogLevel level, LogFormat format) {
  auto& log = the_log();
  log.format = format;
  log.writer = std::make_shared<spdlog::details::thread_pool>(kLogLinesMax, 1);
  log.logger =
      std::make_shared<spdlog::async_logger>("qh", log.sink, log.writer, spdlog::async_overflow_policy::overrun_oldest);
  log.logger->set_level(level_of(level));
  log.logger->set_pattern(format == LogFormat::kJson ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                                                     : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v",
                          spdlog::pattern_time_type::utc);
  log.logger->flush_on(spdlog::level::trace);
}

void stop_log() {
  auto& log = the_log();
  if (!log.writer) return;
  tell_dropped(log, LogLevel::kError);
  const auto due = log.asked - log.writer->overrun_counter();
  // A thread that hangs in its write cannot be joined, so its pool is left to the end of the process.
  if (!log.sink->wait_for(due, std::chrono::seconds(1))) new std::shared_ptr(log.writer);
}

void say(std::string_view line) {
  static std::atomic<bool> taken = true;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  auto text = std::string(line) + "\n";
  while (!text.empty() && taken) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    pollfd room{STDERR_FILENO, POLLOUT, 0};
    taken = left > 0 && ::poll(&room, 1, static_cast<int>(left)) == 1;
    if (!taken) return;
    // A pipe that has room takes this much without waiting.
    const auto wrote = ::write(STDERR_FILENO, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (wrote <= 0) return;
    text.erase(0, static_cast<std::size_t>(wrote));
  }
}

void log(LogLevel level, std::string_view validator, std::string_view text) {
  auto& to = the_log();
  tell_dropped(to, level);
  write(to, level, validator, text);
}

}  // namespace qh::node
