// queue/log_tools_lines.h - the exchange lines of `wal export` and `wal import`.
//
// Format   docs/formats/export.md: the seeds' log line (queue/message_json.h) and behind it `state`; `not_before_ms` of
//          a delayed message; `expires_at_ms` of one that expires; `dead_letter` {reason, died_at_ms, last_error}. A
//          line without these is one of another program.
// Errors   kInvalid: "line 3: message_id: is missing", `subject` the field.
// Threads  pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "queue/engine.h"
#include "queue/message_json.h"

namespace qh::queue {

std::string export_line(const Found& found, const DeadLetter* dead);

struct ImportLine {
  std::uint64_t number = 0;  ///< from 1
  ExportedMessage message;
  std::optional<WallTime> not_before, expires_at;
  bool dead_letter = false;
};
Result<ImportLine> import_line(std::string_view text, std::uint64_t number);

}  // namespace qh::queue
