#include "rpc/codes.h"

#include <array>

#include "base/invariant.h"
#include "rpc/caller.h"

namespace qh::rpc {
namespace {

constexpr std::string_view kTwoSubmits =
    R"([{"jsonrpc":"2.0","method":"qssh_submitMessage","params":{"Gossip":{"topic":"a","data":[]}},"id":1},)"
    R"({"jsonrpc":"2.0","method":"qssh_submitMessage","params":{"Gossip":{"topic":"b","data":[]}},"id":2}])";
constexpr std::string_view kRemoveLeased =
    R"([{"jsonrpc":"2.0","method":"qssh_submitMessage","params":{"Gossip":{"topic":"a","data":[]}}},)"
    R"({"jsonrpc":"2.0","method":"qssh_lease"},)"
    R"({"jsonrpc":"2.0","method":"qssh_removeMessage","params":{"message_id":1},"id":1}])";

constexpr std::array kCodes{
    CodeInfo{Code::kParse, "ParseError", "the body is no JSON", "`limit` when it is nested too deep",
             R"({"jsonrpc":"2.0",)"},
    CodeInfo{Code::kInvalidRequest, "InvalidRequest", "JSON, but no JSON-RPC 2.0 request",
             "`field` and `expected`; `limit` for too many calls", R"({"method":"qssh_getMetrics","id":1})"},
    CodeInfo{Code::kMethodNotFound, "MethodNotFound", "there is no such method", "`method`, `did_you_mean`",
             R"({"jsonrpc":"2.0","method":"qssh_getMetric","id":1})"},
    CodeInfo{Code::kInvalidParams, "InvalidParams", "a parameter is missing, unknown or wrong",
             "`field` and `expected`", R"({"jsonrpc":"2.0","method":"qssh_lease","params":{"max":0},"id":1})"},
    CodeInfo{Code::kInternal, "InternalError", "a fault of ours; the log says more", ""},
    CodeInfo{Code::kQueueFull, "QueueFull", "a bound of the queue was hit; nothing was stored",
             "`bound`, `retry_after_ms`", kTwoSubmits, "--queue-max-depth 1"},
    CodeInfo{Code::kRateLimited, "RateLimited", "more messages a second than allowed; nothing was stored",
             "`bound`, `retry_after_ms`", kTwoSubmits, "--queue-rate-limit 1 --queue-rate-burst 1"},
    CodeInfo{Code::kStorageFull, "StorageFull", "the disk has no room; goes on by itself when it has", ""},
    CodeInfo{Code::kStorageFailed, "StorageFailed",
             "the disk has failed; the message says whether only a restart brings the queue back",
             "`file`, `system_error`"},
    CodeInfo{
        Code::kTooLarge, "TooLarge", "over a size limit; nothing was stored, nothing handed out",
        "`limit` and, where it is known, `size`: bytes, or messages of a batch",
        R"({"jsonrpc":"2.0","method":"qssh_submitMessage","params":{"Gossip":{"topic":"a long topic","data":[]}},"id":1})",
        "--queue-max-message-bytes 10"},
    CodeInfo{Code::kNotFound, "NotFound", "there is no such message, or no validator of that name", "",
             R"({"jsonrpc":"2.0","method":"qssh_retryDeadLetter","params":{"message_id":77},"id":1})"},
    CodeInfo{Code::kUnauthorized, "Unauthorized", "no token, or an unknown one (HTTP 401)", "",
             R"({"jsonrpc":"2.0","method":"qssh_getQueueDepth","id":1})", "--rpc-token-file tokens --require-token"},
    CodeInfo{Code::kTimeout, "Timeout", "the time given was over first, or the wait was ended",
             "`outcome`: what is known"},
    CodeInfo{Code::kShuttingDown, "ShuttingDown", "the node is stopping; no new work is taken", ""},
    CodeInfo{Code::kForbidden, "Forbidden", "the caller lacks a role", "`role`",
             R"({"jsonrpc":"2.0","method":"qssh_popMessage","id":1})", "--rpc-token-file tokens",
             "-H 'Authorization: Bearer example' "},
    CodeInfo{Code::kBusy, "Busy",
             "what it is about is in use: a message that is leased, a validator that runs; or a port has all "
             "its connections",
             "", kRemoveLeased},
};

}  // namespace

std::span<const CodeInfo> codes() { return kCodes; }

const CodeInfo& info(Code code) {
  for (const auto& known : kCodes) {
    if (known.code == code) return known;
  }
  INVARIANT(false, "an error code without a line in the table");
  return kCodes[4];
}

std::optional<Role> role_named(std::string_view name) {
  for (std::size_t i = 0; i < kRoleNames.size(); ++i) {
    if (kRoleNames[i] == name) return static_cast<Role>(i);
  }
  return std::nullopt;
}

}  // namespace qh::rpc
