// node/front.h - what a validator is reached by, on its own thread.
//
// serve/ has the one of JSON-RPC over HTTP and of the binary RPC; QSSH will share a port.
//
// Threads  bind() on the thread that starts the node, before the validator's runs; all else on the validator's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_function.h"
#include "rpc/dispatcher.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace qh::node {

class Front {
 public:
  virtual ~Front() = default;
  /// Takes the port, so that one in use is told before any data is touched. kBusy: `subject` says by whom.
  virtual Result<void> bind() = 0;
  /// Takes connections from now on.
  virtual Result<void> listen(rpc::Dispatcher& dispatcher) = 0;
  /// Sends what the queue has just answered; called behind each of its writes.
  virtual void flush() = 0;
  /// Takes no new connections.
  virtual void begin_stop() = 0;
  /// Lets the answers that are under way go out, then closes; calls `done` once, within a second.
  virtual void finish(UniqueFunction<void()> done) = 0;
};

struct FrontSettings {
  std::string validator;
  std::uint16_t port = 0;
  std::uint16_t binary_port = 0;  ///< 0: none
};
using FrontFactory =
    std::function<std::unique_ptr<Front>(boost::asio::io_context& loop, const FrontSettings& settings)>;

}  // namespace qh::node
