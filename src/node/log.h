// node/log.h - what an operator reads, on stderr: a line each, as text or as JSON.
//
//   log_info("alice", "recovered 12 messages in 3 ms");
//
// Threads  any. start_log() first, once.
#pragma once

#include <cstdint>
#include <string_view>

namespace qh::node {

enum class LogLevel : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };
enum class LogFormat : std::uint8_t { kText, kJson };

void start_log(LogLevel level, LogFormat format);

/// `validator` may be empty: the node as a whole.
void log(LogLevel level, std::string_view validator, std::string_view text);
inline void log_debug(std::string_view validator, std::string_view text) { log(LogLevel::kDebug, validator, text); }
inline void log_info(std::string_view validator, std::string_view text) { log(LogLevel::kInfo, validator, text); }
inline void log_warn(std::string_view validator, std::string_view text) { log(LogLevel::kWarn, validator, text); }
inline void log_error(std::string_view validator, std::string_view text) { log(LogLevel::kError, validator, text); }

}  // namespace qh::node
