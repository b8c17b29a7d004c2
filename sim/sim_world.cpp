#include "sim/sim_world.h"

#include <algorithm>

namespace qh {

SimWorld::EventId SimWorld::at(MonoTime when, UniqueFunction<void()> event) {
  const EventId id(std::max(when, now_), ++last_event_);
  events_.emplace(id, std::move(event));
  return id;
}

bool SimWorld::run_one() {
  if (events_.empty()) return false;
  auto next = events_.extract(events_.begin());
  now_ = next.key().first;
  next.mapped()();
  return true;
}

std::size_t SimWorld::run_until_idle(std::size_t events_max) {
  std::size_t ran = 0;
  while (ran < events_max && run_one()) ++ran;
  return ran;
}

void SimWorld::advance(Duration by) {
  const MonoTime end = now_ + by;
  while (!events_.empty() && events_.begin()->first.first <= end) run_one();
  now_ = std::max(now_, end);
}

}  // namespace qh
