#include "rpc/exchange.h"

#include <utility>

#include <boost/json/value.hpp>

namespace qh::rpc {

void Exchange::expect(std::size_t slot, std::uint64_t expected) {
  slots[slot].expected_bytes = expected;
  bytes += expected;
}

void Exchange::settle(std::size_t slot, std::string text) {
  auto& s = slots[slot];
  if (s.answered) return;
  s.answered = true;
  s.wait.reset();
  s.text = std::move(text);
  bytes += s.text.size();
  held_here += s.text.size();
  *held += s.text.size();
  bytes -= std::exchange(s.expected_bytes, 0);
  if (s.timer != 0) timers->cancel(std::exchange(s.timer, 0));
  close_one();
}

void Exchange::close_one() {
  if (--open != 0 || !done) return;
  auto reply = std::move(done);
  auto text = joined();
  give_back();  // they are the reader's now
  reply(std::move(text));
}

void Exchange::give_back() {
  if (held) *held -= std::exchange(held_here, 0);
}

std::string Exchange::joined() {
  if (!batch) return std::move(slots.front().text);
  std::string all;
  all.reserve(bytes + slots.size() + 1);
  for (auto& slot : slots) {
    if (slot.text.empty()) continue;
    all += all.empty() ? '[' : ',';
    all += std::exchange(slot.text, {});
  }
  if (!all.empty()) all += ']';
  return all;
}

void Answer::ok(const boost::json::value& result) {
  const auto& slot = exchange_->slots[slot_];
  if (slot.answered) return;
  exchange_->settle(slot_, slot.notification ? std::string() : write_result(result, slot.id));
}

void Answer::fail(const Failure& failure) {
  const auto& slot = exchange_->slots[slot_];
  if (slot.answered) return;
  exchange_->settle(slot_, slot.notification ? std::string() : write_failure(failure, slot.id));
}

void Answer::waits(queue::Engine::WaitId wait) const {
  auto& slot = exchange_->slots[slot_];
  if (!slot.answered) slot.wait = wait;
}

void Answer::at_the_latest(Duration delay, Failure failure) const {
  auto& slot = exchange_->slots[slot_];
  if (slot.answered) return;
  slot.timer = exchange_->timers->start(delay, [answer = another(), failure = std::move(failure)]() mutable {
    answer.exchange_->slots[answer.slot_].timer = 0;
    answer.fail(failure);
  });
}

}  // namespace qh::rpc
