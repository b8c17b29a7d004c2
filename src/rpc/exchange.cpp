#include "rpc/exchange.h"

#include <utility>

#include <boost/json/value.hpp>

namespace qh::rpc {

void Exchange::expect(Slot slot, std::uint64_t expected) {
  slots[slot].expected_bytes = expected;
  bytes += expected;
}

void Exchange::settle(Pending& s, std::string text) {
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

void Exchange::ok(Slot slot, Outcome outcome) {
  auto& s = slots[slot];
  if (!s.answered) settle(s, s.notification ? std::string() : write_result(to_json(std::move(outcome)), s.id));
}

void Exchange::fail(Slot slot, const Failure& failure) {
  auto& s = slots[slot];
  if (!s.answered) settle(s, s.notification ? std::string() : write_failure(failure, s.id));
}

void Exchange::waits(Slot slot, queue::Engine::WaitId wait) {
  if (!slots[slot].answered) slots[slot].wait = wait;
}

void Exchange::at_the_latest(Slot slot, Duration delay, Failure failure) {
  auto& s = slots[slot];
  if (s.answered) return;
  s.timer = timers->start(delay, [self = shared_from_this(), slot, failure = std::move(failure)] {
    self->slots[slot].timer = 0;
    self->fail(slot, failure);
  });
}

}  // namespace qh::rpc
