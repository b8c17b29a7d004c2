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
#include "rpc/failure.h"

namespace qh::rpc {

/// What the answers of one body may come to. A call that would begin over it is not carried out; the one that
/// passes it is answered whole, so what is done is always told.
inline constexpr std::uint64_t kAnswerBytesMax = std::uint64_t{64} << 20;

/// The calls of one body. Kept alive by the answers that are still to come.
struct Exchange {
  struct Slot {
    std::string id;  ///< JSON text
    bool notification = false;
    bool answered = false;
    std::string text;
    std::optional<queue::Engine::WaitId> wait;
    Timers::Id timer = 0;
    std::uint64_t expected_bytes = 0;  ///< what it may come to, while it is not answered
  };

  std::vector<Slot> slots;
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
  ~Exchange() { give_back(); }

  void expect(std::size_t slot, std::uint64_t bytes);
  void settle(std::size_t slot, std::string text);
  void close_one();

 private:
  std::string joined();
  void give_back();
};

/// The right to answer one call, once. What comes later (a completion behind its timeout) is dropped.
class Answer {
 public:
  Answer() = default;
  Answer(std::shared_ptr<Exchange> exchange, std::size_t slot) : exchange_(std::move(exchange)), slot_(slot) {}

  void ok(const boost::json::value& result);
  void fail(const Failure& failure);
  void fail(const Error& error) { fail(failure_of(error)); }

  /// While this wait lasts, abandoning the call cancels it. For a call that may be answered already.
  void waits(queue::Engine::WaitId wait) const;
  /// Answers `failure` unless something else has by then.
  void at_the_latest(Duration delay, Failure failure) const;
  /// A second one for the same call; the first that is used counts.
  Answer another() const { return {exchange_, slot_}; }

 private:
  std::shared_ptr<Exchange> exchange_;
  std::size_t slot_ = 0;
};

}  // namespace qh::rpc
