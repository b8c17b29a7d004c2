// serve/rpc_front.h - JSON-RPC over HTTP on a validator's port. docs/rpc.md is what it speaks.
//
// Bounds   connections, header, body, time for each; HttpBounds has the defaults of the contract. What is over
//          them is refused with a status and a word why, never left hanging.
// Threads  the validator's; bind() before that one runs.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "node/front.h"
#include "serve/access.h"
#include "serve/http_request.h"

namespace qh::serve {

struct HttpBounds {
  HttpLimits request;
  Duration header_within = std::chrono::seconds(5);  ///< from its first byte
  Duration body_within = std::chrono::seconds(30);
  Duration write_within = std::chrono::seconds(30);
  Duration idle_within = std::chrono::seconds(60);
  Duration linger = std::chrono::seconds(2);  ///< for a peer to read a refusal while it still sends
  std::size_t connections = 4096;
  std::size_t buffered_bytes = 256U << 20;  ///< of all connections together: requests, and once more answers
};

struct RpcFrontOptions {
  /// Addresses to listen on. Empty: 127.0.0.1, and ::1 where there is one.
  std::vector<std::string> listen;
  std::string port_flag_hint;  ///< what an error about the port tells to do
  AccessRules access;
  HttpBounds bounds;
};

/// `options` outlives the front.
std::unique_ptr<node::Front> make_rpc_front(boost::asio::io_context& loop, const node::FrontSettings& settings,
                                            const RpcFrontOptions& options);

}  // namespace qh::serve
