// queue/message_json.h - messages as JSON, made from the tables in queue/message.h.
//
// Format   externally tagged: {"Gossip":{"topic":"test","data":[1,2,3]}}. Bytes are read as an array of
//          0..255, as "0x.." hex or as {"base64":".."}, and written as "0x..". Integers are below 2^53.
//          An optional field may be missing or null; a nullable one (qber) must be there.
// Errors   kInvalid: `subject` is the path of the field (Gossip.data[2]), `context` what was expected.
// Threads  pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "queue/json_text.h"
#include "queue/message.h"
#include "queue/queued_message.h"

namespace qh::queue {

Result<Message> message_from_json(const boost::json::value& json);
boost::json::value message_to_json(const Message& message);

/// The object of the seeds' log lines: message, message_id, created_at (Unix s), submitted_by, persisted,
/// broadcast; then created_at_ms, priority, deliveries and digest.
boost::json::value queued_to_json(const QueuedMessage& message);

/// A log line read back, for import: the fields that are ours to give anew are not checked against it.
struct ExportedMessage {
  Message message;
  MessageId id;
  WallTime created_at;  ///< from created_at_ms where it is given, else from created_at
  std::string submitted_by;
  bool persisted = false;
  bool broadcast = false;
};
Result<ExportedMessage> exported_from_json(const boost::json::value& json);

/// Bytes in any of the three forms; `path` is the `subject` of errors.
Result<Bytes> bytes_from_json(const boost::json::value& json, std::string_view path);

/// 0..2^53-1, also when it is written as 5.0 or 5e0, as some languages do.
std::optional<std::uint64_t> integer_from_json(const boost::json::value& json);

/// A JSON Schema of all kinds, for documents and rpc.discover.
boost::json::value message_schema();

/// `the string "x"`, "a string of 90 bytes", "the number -1", "an array": what somebody gave, for error texts.
std::string describe_json(const boost::json::value& json);

}  // namespace qh::queue
