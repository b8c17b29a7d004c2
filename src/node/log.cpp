#include "node/log.h"

#include <memory>
#include <string>

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

struct Log {
  std::shared_ptr<spdlog::logger> logger =
      std::make_shared<spdlog::logger>("qh", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  LogFormat format = LogFormat::kText;
};

Log& the_log() {
  static Log log;
  return log;
}

}  // namespace

void start_log(LogLevel level, LogFormat format) {
  auto& log = the_log();
  log.format = format;
  log.logger->set_level(level_of(level));
  log.logger->set_pattern(format == LogFormat::kJson ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                                                     : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v",
                          spdlog::pattern_time_type::utc);
  log.logger->flush_on(spdlog::level::trace);
}

void log(LogLevel level, std::string_view validator, std::string_view text) {
  auto& to = the_log();
  const auto at = level_of(level);
  if (!to.logger->should_log(at)) return;
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
  to.logger->log(at, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace qh::node
