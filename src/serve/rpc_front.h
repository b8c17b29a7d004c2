// serve/rpc_front.h - the ports of a validator: JSON-RPC over HTTP (docs/json-rpc.md) and, where it has one, the binary
// RPC (docs/formats/rpc-binary.md).
//
// Threads  the validator's; bind() before that one runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "node/front.h"
#include "serve/http_server.h"

namespace qh::serve {

/// What the ports of all validators share.
struct RpcFrontOptions {
  /// Addresses to listen on. Empty: 127.0.0.1, and ::1 where there is one.
  std::vector<std::string> listen;
  std::string port_flag_hint;  ///< what an error about the port tells to do
  std::string binary_port_flag_hint;
  AccessRules access;
  HttpBounds bounds;
};

std::unique_ptr<node::Front> make_rpc_front(boost::asio::io_context& loop, const node::FrontSettings& settings,
                                            const RpcFrontOptions& options);

}  // namespace qh::serve
