// rpc/codes.h - the error codes of JSON-RPC answers, as in docs/json-rpc.md.
#pragma once

#include <span>
#include <string_view>

namespace qh::rpc {

enum class Code : int {
  kParse = -32700,
  kInvalidRequest = -32600,
  kMethodNotFound = -32601,
  kInvalidParams = -32602,
  kInternal = -32603,
  kQueueFull = -32001,
  kRateLimited = -32002,
  kStorageFull = -32003,
  kStorageFailed = -32004,
  kTooLarge = -32005,
  kNotFound = -32006,
  kUnauthorized = -32007,
  kTimeout = -32008,
  kShuttingDown = -32009,
  kForbidden = -32010,
  kBusy = -32011,
};

struct CodeInfo {
  Code code;
  std::string_view reason;   ///< `data.reason`
  std::string_view meaning;  ///< for documents
  std::string_view data;     ///< what more `data` holds
  /// A body that gets it, from a node that was started with `flags`; empty where only a fault of the machine or a
  /// moment does.
  std::string_view example = {};
  std::string_view flags = {};
  std::string_view headers = {};  ///< of curl, as -H 'Name: value'
};

std::span<const CodeInfo> codes();
const CodeInfo& info(Code code);

}  // namespace qh::rpc
