// queue/waiters.h - takes and leases that wait for a message, first come, first served.
//
// Private to the room. Threads: the owner's.
#pragma once

#include <cstdint>
#include <list>
#include <set>
#include <unordered_map>
#include <utility>

#include "queue/engine.h"

namespace qh::queue {

struct Waiter {
  Engine::WaitId id = 0;
  KindMask kinds;
  MonoTime until;
  std::uint32_t max = 0;  ///< of a batch or a lease
  Duration duration{};    ///< of a lease
  // One of them:
  Engine::Done<std::optional<Taken>> take;
  Engine::Done<std::vector<Taken>> batch;
  Engine::Done<std::vector<Leased>> lease;

  void fail(const Error& error) {
    if (take)
      take(tl::unexpected<Error>(error));
    else if (batch)
      batch(tl::unexpected<Error>(error));
    else
      lease(tl::unexpected<Error>(error));
  }
  void give_nothing() {
    if (take)
      take(std::optional<Taken>());
    else if (batch)
      batch(std::vector<Taken>());
    else
      lease(std::vector<Leased>());
  }
};

class Waiters {
 public:
  Engine::WaitId new_id() { return ++last_id_; }
  /// Under its id, or a new one if it has none.
  Engine::WaitId add(Waiter waiter) {
    if (waiter.id == 0) waiter.id = new_id();
    const auto id = waiter.id;
    deadlines_.emplace(waiter.until.ns, waiter.id);
    queue_.push_back(std::move(waiter));
    by_id_.emplace(queue_.back().id, std::prev(queue_.end()));
    return id;
  }
  std::optional<Waiter> take_out(Engine::WaitId id) {
    const auto it = by_id_.find(id);
    if (it == by_id_.end()) return std::nullopt;
    Waiter waiter = std::move(*it->second);
    queue_.erase(it->second);
    by_id_.erase(it);
    deadlines_.erase({waiter.until.ns, waiter.id});
    return waiter;
  }
  /// The one that has waited longest for one of these kinds.
  const Waiter* first_for(KindMask kinds) const {
    for (const auto& waiter : queue_) {
      if (!(waiter.kinds & kinds).empty()) return &waiter;
    }
    return nullptr;
  }
  const Waiter* front() const { return queue_.empty() ? nullptr : &queue_.front(); }
  std::optional<Engine::WaitId> due(MonoTime now) const {
    if (deadlines_.empty() || deadlines_.begin()->first > now.ns) return std::nullopt;
    return deadlines_.begin()->second;
  }
  MonoTime next() const { return deadlines_.empty() ? MonoTime::never() : MonoTime{deadlines_.begin()->first}; }
  std::size_t size() const { return queue_.size(); }
  bool has(Engine::WaitId id) const { return by_id_.contains(id); }

 private:
  std::list<Waiter> queue_;
  std::unordered_map<Engine::WaitId, std::list<Waiter>::iterator> by_id_;
  std::set<std::pair<std::int64_t, Engine::WaitId>> deadlines_;
  Engine::WaitId last_id_ = 0;
};

}  // namespace qh::queue
