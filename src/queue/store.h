// queue/store.h - the messages in memory: by id, in order, and by what they wait for.
//
// Memory   a message is one allocation: its entry, and behind it the body and the key. With the ids that makes some
//          130 bytes beside body and key (bench/queue measures it; specs allow 200).
// Private to the room. Threads: the owner's.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/intrusive/list.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "queue/engine.h"
#include "queue/id_runs.h"
#include "queue/log_writer.h"
#include "queue/timer_heap.h"

namespace qh::queue {

enum class EntryState : std::uint8_t { kPending, kReady, kDelayed, kLeased, kDead };

namespace bi = boost::intrusive;
using LogHook = bi::list_base_hook<bi::link_mode<bi::safe_link>>;

struct Entry : LogHook {
  /// What few messages have; made when it is needed.
  struct Extra {
    LeaseId lease;
    bool held = false;
    DeadReason reason{};
    std::int64_t died_at_ms = 0;
    std::string last_error;
  };

  /// With a copy of both behind it. A key has at most 255 bytes.
  static Entry* make(ByteView body, std::string_view key);
  static void destroy(Entry* entry);
  /// Ends the entry; its memory goes to the body.
  static Body release_body(Entry* entry);

  MessageId id;
  WallTime created_at;
  wal::Ordinal ordinal = 0;        ///< batch of its newest put record; 0: only in memory
  std::int64_t not_before_ms = 0;  ///< kDelayed: until then; 0 otherwise
  std::int64_t expires_at_ms = 0;
  std::unique_ptr<Extra> extra;
  std::uint32_t submitter = 0;
  std::uint32_t record_bytes = 0;  ///< of that put record, or more: what it takes when it is carried on
  std::uint32_t mono_position = 0, wall_position = 0;
  std::uint32_t body_bytes = 0;
  std::uint16_t deliveries = 0;
  EntryState state = EntryState::kPending;
  bool has_key = false;

  ByteView body() const { return {reinterpret_cast<const std::byte*>(this + 1), body_bytes}; }
  /// Empty: it has none, or its window is over.
  std::string_view key() const;
  void forget_key() { has_key = false; }
  /// The key's place in the KeyWindow.
  std::uint32_t key_turn() const;
  void set_key_turn(std::uint32_t turn);
  Kind kind() const { return static_cast<Kind>(body()[0]); }
  Extra& more() {
    if (!extra) extra = std::make_unique<Extra>();
    return *extra;
  }

 private:
  /// Behind the body: the key's turn, its length in a byte, its bytes. Not aligned.
  std::byte* behind_body() { return reinterpret_cast<std::byte*>(this + 1) + body_bytes; }
  const std::byte* behind_body() const { return reinterpret_cast<const std::byte*>(this + 1) + body_bytes; }
};

/// Names of submitters, kept once.
class Names {
 public:
  std::uint32_t add(std::string_view name);
  void release(std::uint32_t index);
  const std::string& at(std::uint32_t index) const { return names_[index].text; }

 private:
  struct Name {
    std::string text;
    std::uint64_t uses = 0;
  };
  std::vector<Name> names_;
  std::uint32_t last_ = 0;  ///< added last: most messages come from the one who sent the one before
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::string, std::uint32_t> index_;
};

class Store {
 public:
  ~Store();

  // A message comes in as kPending, is in one state at a time, and goes out by erase().
  Entry& add(MessageId id, ByteView body, std::string_view key, WallTime created_at, std::string_view submitted_by);
  void erase(Entry& entry);
  Entry* find(MessageId id) const;
  Entry* find(LeaseId lease) const;

  void make_ready(Entry& entry);
  void delay_until(Entry& entry, WallTime until);
  /// After a nack: measured by the monotonic clock; `until_wall` is for the log only.
  void delay_for(Entry& entry, MonoTime until, WallTime until_wall);
  void make_leased(Entry& entry, LeaseId lease);
  void set_lease_deadline(Entry& entry, MonoTime deadline);
  void hold(Entry& entry);
  void make_dead(Entry& entry, DeadReason reason, WallTime at);

  /// The oldest that is ready, or nothing.
  Entry* first(KindMask kinds) const;
  KindMask ready_kinds() const { return ready_kinds_; }
  bool any_ready(KindMask kinds) const { return !(kinds & ready_kinds_).empty(); }
  template <class Visit>  // bool(const Entry&): go on
  void each_ready(Kind kind, MessageId behind, Visit visit) const {
    const auto& queue = ready_[static_cast<std::size_t>(kind)];
    for (auto* entry = queue.behind(behind); entry != nullptr && visit(*entry); entry = queue.behind(entry->id)) {
    }
  }
  template <class Visit>  // by id
  void each(Visit visit) const {
    for (auto* entry = by_id_.first(); entry != nullptr; entry = by_id_.behind(entry->id)) visit(*entry);
  }
  template <class Visit>  // bool(const Entry&): go on; oldest death first
  void each_dead(std::optional<DeadPosition> behind, Visit visit) const {
    auto it = behind ? dead_.upper_bound(*behind) : dead_.begin();
    for (; it != dead_.end() && visit(*it->second); ++it) {
    }
  }
  Entry* oldest_dead() { return dead_.empty() ? nullptr : dead_.begin()->second; }
  Entry* oldest_ready(Kind kind) const { return ready_[static_cast<std::size_t>(kind)].first(); }

  /// Logged messages, by the place of their newest put record.
  void logged(Entry& entry, wal::Ordinal ordinal);
  Entry* oldest_logged() { return logged_.empty() ? nullptr : &logged_.front(); }
  template <class Visit>  // void(Entry&), in the order of the log
  void each_logged(Visit visit) {
    for (Entry& entry : logged_) visit(entry);
  }

  // Deadlines. due_* answer an entry whose time has come and take it out of the heap.
  Entry* due_mono(MonoTime now);
  Entry* due_wall(WallTime now);
  MonoTime next_mono() const { return {mono_.next_ns()}; }
  bool has_wall_timers() const { return !wall_.empty(); }
  WallTime next_wall() const { return {wall_.next_ns()}; }
  /// Watches `expires_at_ms` in the states in which a message can expire.
  void watch_wall(Entry& entry);
  std::optional<MonoTime> mono_deadline(const Entry& entry) const;

  const std::string& submitter(const Entry& entry) const { return names_.at(entry.submitter); }
  QueuedMessage describe(const Entry& entry) const;  ///< with a copy of the body
  QueuedMessage extract(Entry& entry);               ///< with its body itself, and the entry is gone

  const Depth& depth() const { return depth_; }
  std::uint64_t messages() const { return depth_.total() + pending_; }  ///< what max_depth counts
  std::uint64_t bytes() const { return bytes_; }                        ///< bodies, dead ones not counted
  std::uint64_t dead_count() const { return dead_.size(); }
  std::uint64_t dead_bytes() const { return dead_bytes_; }
  std::uint64_t leased_count() const { return leases_.size(); }

 private:
  using LogList = bi::list<Entry, bi::base_hook<LogHook>>;

  void detach(Entry& entry);
  void leave(Entry& entry);
  Depth::Part& part(const Entry& entry) { return depth_.by_kind[static_cast<std::size_t>(entry.kind())]; }
  QueuedMessage provenance(const Entry& entry) const;

  Names names_;
  IdRuns by_id_;
  boost::unordered_flat_map<std::uint64_t, Entry*> leases_;
  std::array<IdRuns, kKindCount> ready_;
  KindMask ready_kinds_;  ///< whose queue is not empty
  std::map<DeadPosition, Entry*> dead_;
  LogList logged_;
  TimerHeap<Entry, &Entry::mono_position> mono_;
  TimerHeap<Entry, &Entry::wall_position> wall_;
  Depth depth_;
  std::uint64_t pending_ = 0, bytes_ = 0, dead_bytes_ = 0;
};

}  // namespace qh::queue
