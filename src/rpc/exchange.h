// rpc/exchange.h - one body on its way to its reply. Private to rpc/.
//
// Threads  the dispatcher's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rpc/dispatcher.h"
#include "rpc/replies.h"

namespace qh::rpc {

/// What the answers of one body may come to. A call that would begin over it is not carried out; the one that
/// passes it is answered whole, so what is done is always told.
inline constexpr std::uint64_t kAnswerBytesMax = std::uint64_t{64} << 20;

/// The calls of one body. Kept alive by the answers that are still to come.
struct Exchange final : Replies, std::enable_shared_from_this<Exchange> {
  struct Pending {
    std::string id;  ///< JSON text
    bool notification = false;
    bool answered = false;
    std::string text;
    std::optional<queue::Engine::WaitId> wait;
    Timers::Id timer = 0;
    std::uint64_t expected_bytes = 0;  ///< what it may come to, while it is not answered
  };

  std::vector<Pending> slots;
  std::size_t open = 0;     ///< answers to come
  std::uint64_t bytes = 0;  ///< of the answers that are in and of those that are expected
  bool batch = false;
  Timers* timers = nullptr;
  /// Of all bodies together, those of the answers that are in.
  std::shared_ptr<std::uint64_t> held;
  std::uint64_t held_here = 0;
  /// Called once, when the last answer is in.
  UniqueFunction<void(std::string)> done;

  Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange() override { give_back(); }

  void ok(Slot slot, Outcome outcome) override;
  void fail(Slot slot, const Failure& failure) override;
  void waits(Slot slot, queue::Engine::WaitId wait) override;
  void at_the_latest(Slot slot, Duration delay, Failure failure) override;

  void expect(Slot slot, std::uint64_t bytes);
  void close_one();

 private:
  void settle(Pending& slot, std::string text);
  std::string joined();
  void give_back();
};

}  // namespace qh::rpc
