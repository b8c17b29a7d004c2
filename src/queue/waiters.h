// queue/waiters.h - takes and leases that wait for a message, first come, first served.
//
// Private to the room. Threads: the owner's.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "queue/engine.h"

namespace qh::queue {

/// A take or lease, from its call to its answer.
struct HandOutCall {
  Engine::HandOut request;
  std::variant<Engine::Done<std::optional<Taken>>, Engine::Done<std::vector<Taken>>, Engine::Done<std::vector<Leased>>>
      done;
  std::uint32_t max = 1;
  Duration duration{};    ///< of a lease
  Engine::WaitId id = 0;  ///< of one that has waited: its turn has come before

  bool is_lease() const { return std::holds_alternative<Engine::Done<std::vector<Leased>>>(done); }
  void fail(const Error& error) {
    std::visit([&](auto& of_its_kind) { of_its_kind(tl::unexpected<Error>(error)); }, done);
  }
  void give_nothing() {
    std::visit([]<class T>(UniqueFunction<void(Result<T>)>& of_its_kind) { of_its_kind(T()); }, done);
  }
};

class Waiters {
 public:
  Engine::WaitId new_id() { return ++last_id_; }
  /// Under its id, or a new one if it has none.
  Engine::WaitId add(HandOutCall call) {
    if (call.id == 0) call.id = new_id();
    const auto id = call.id;
    deadlines_.emplace(call.request.wait_until.ns, id);
    queue_.push_back(std::move(call));
    by_id_.emplace(id, std::prev(queue_.end()));
    return id;
  }
  std::optional<HandOutCall> take_out(Engine::WaitId id) {
    const auto it = by_id_.find(id);
    if (it == by_id_.end()) return std::nullopt;
    HandOutCall call = std::move(*it->second);
    queue_.erase(it->second);
    by_id_.erase(it);
    deadlines_.erase({call.request.wait_until.ns, call.id});
    return call;
  }
  /// The one that has waited longest for one of these kinds.
  const HandOutCall* first_for(KindMask kinds) const {
    for (const auto& call : queue_) {
      if (!(call.request.kinds & kinds).empty()) return &call;
    }
    return nullptr;
  }
  const HandOutCall* front() const { return queue_.empty() ? nullptr : &queue_.front(); }
  std::optional<Engine::WaitId> due(MonoTime now) const {
    if (deadlines_.empty() || deadlines_.begin()->first > now.ns) return std::nullopt;
    return deadlines_.begin()->second;
  }
  MonoTime next() const { return deadlines_.empty() ? MonoTime::never() : MonoTime{deadlines_.begin()->first}; }
  std::size_t size() const { return queue_.size(); }
  bool has(Engine::WaitId id) const { return by_id_.contains(id); }

 private:
  std::list<HandOutCall> queue_;
  std::unordered_map<Engine::WaitId, std::list<HandOutCall>::iterator> by_id_;
  std::set<std::pair<std::int64_t, Engine::WaitId>> deadlines_;
  Engine::WaitId last_id_ = 0;
};

}  // namespace qh::queue
