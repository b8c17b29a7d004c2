// node/log.h - what an operator reads, on stderr: a line each, as text or as JSON.
//
//   log_info("alice", "recovered 12 messages in 3 ms");
//
// Bounds   nobody waits for stderr: a thread of the log's own writes, and when it cannot (a paused terminal, a journal
//          that hangs) the oldest of kLogLinesMax lines are dropped. How many is said as soon as it can be.
// Threads  any. start_log() first, once; stop_log() last, when nobody logs any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qh::node {

enum class LogLevel : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };
enum class LogFormat : std::uint8_t { kText, kJson };

inline constexpr std::size_t kLogLinesMax = 8192;

void start_log(LogLevel level, LogFormat format);
/// Waits for what was logged to be written, for a second at most.
void stop_log();

/// To stderr past the log: what ends a start. A reader who takes nothing for a second gets no more of it.
void say(std::string_view line);

/// `validator` may be empty: the node as a whole.
void log(LogLevel level, std::string_view validator, std::string_view text);
inline void log_debug(std::string_view validator, std::string_view text) { log(LogLevel::kDebug, validator, text); }
inline void log_info(std::string_view validator, std::string_view text) { log(LogLevel::kInfo, validator, text); }
inline void log_warn(std::string_view validator, std::string_view text) { log(LogLevel::kWarn, validator, text); }
inline void log_error(std::string_view validator, std::string_view text) { log(LogLevel::kError, validator, text); }

}  // namespace qh::node
