// rpc/dispatcher.h - JSON-RPC 2.0 over one validator's queue.
//
//   const auto call = dispatcher.handle(body, caller, [](std::string reply) { send(reply); });
//   if (peer_is_gone) dispatcher.abandon(call);
//
// A body is one call or a batch. The calls of a batch are started in their order, none waits for the one
// before, and the answers come together, in the order of the calls. The methods stand in rpc/method.h.
//
// Errors   every fault of the caller is an answer; handle() itself cannot fail.
// Limits   a batch of kBatchCallsMax calls, whose answers come to kAnswerBytesMax (rpc/exchange.h); JSON nested to
// queue::kJsonDepthMax; waits of kWaitMsMax. Threads  one owner: the validator's thread. Replies come on it, from
// inside handle() or later. Lifetime the engine and the timers outlive the dispatcher. Calls that are open when it dies
// are dropped
//          without a reply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/unique_function.h"
#include "queue/engine.h"
#include "rpc/caller.h"
#include "rpc/codes.h"
#include "rpc/node_control.h"

namespace qh::rpc {

inline constexpr std::size_t kBatchCallsMax = 1'000;
inline constexpr std::uint64_t kWaitMsMax = 60'000;

/// Timers of the loop that the dispatcher runs on.
class Timers {
 public:
  using Id = std::uint64_t;
  virtual ~Timers() = default;
  /// Never 0; never called from inside start().
  virtual Id start(Duration delay, UniqueFunction<void()> fire) = 0;
  /// Does nothing for one that has fired.
  virtual void cancel(Id id) = 0;
};

struct Calls;  // private to rpc/

struct Services {
  queue::Engine& engine;
  Clock& clock;
  Timers& timers;
  std::string validator;                    ///< its name
  UniqueFunction<void()> touched;           ///< called after each body: the engine's next wakeup may have changed
  NodeControl* node = nullptr;              ///< nullptr: the node_* methods are not there
  UniqueFunction<void(Fault)> inject = {};  ///< empty: node_injectFault is not there
};

class Dispatcher {
 public:
  using CallId = std::uint64_t;
  /// The JSON to send, or nothing for notifications alone.
  using Reply = UniqueFunction<void(std::string json)>;

  explicit Dispatcher(Services services);
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  /// `body` is not needed any more when this returns. 0 when the reply has been given already.
  CallId handle(std::string_view body, const Caller& caller, Reply reply);
  /// Nobody listens any more: ends the waits of this call. What was started otherwise goes on.
  void abandon(CallId call);
  /// From now on only methods that look (role read) are served; the others answer ShuttingDown.
  void begin_stop();
  /// For other codecs: rpc/binary_link.h.
  Calls& calls();
  /// Bytes of answers that wait for others of their body.
  std::uint64_t held_bytes() const;
  /// The same of one body; 0 where it has been answered.
  std::uint64_t held_bytes(CallId call) const;
  /// Bodies that have not been answered.
  std::size_t open_calls() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// An answer with an error and the id null, for what fails before a call is read: a missing token, a body
/// over its limit (`limit` and `size` in bytes; 0 for none, and from 2^53 on no size is told).
std::string error_reply(Code code, std::string_view message, std::uint64_t limit = 0, std::uint64_t size = 0);

}  // namespace qh::rpc
