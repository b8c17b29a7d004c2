// queue/key_window.h - which idempotency keys were seen, and for which message.
//
// A key lasts for the window from the submit that brought it; repeats do not renew it, and the end of its
// message does not end it. The window is one of the wall clock, of which it is read at a start alone: then the age of a
// key is the wall clock's now less its submit's time. From then on the monotonic clock counts, so that a jump while the
// queue runs neither ends a window early nor keeps it. A clock that was set between a key's submit and a start makes
// the window shorter or longer by as much: set forward, a repeat may be stored again; set back, a key whose window had
// ended is known again. Nothing else could say how long the machine was off. When there are too many, the oldest leaves
// early, counted: a bound in memory is worth more than the tail of a window.
//
// Memory   while its message is in the queue a key lies in the message's own entry, and its place in the log is the
//          message's: what is here then is a slot of the set and one of the ring, about 35 bytes. One whose message
//          has ended has an EndedKey.
// Private to the room. Threads: the owner's.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>

#include <boost/intrusive/set.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "base/clock.h"
#include "queue/log_writer.h"
#include "queue/queued_message.h"
#include "queue/store.h"

namespace qh::queue {

/// A key that has outlived its message. Its bytes lie behind it.
struct EndedKey : boost::intrusive::set_base_hook<boost::intrusive::optimize_size<true>> {
  MessageId id;
  WallTime created_at;
  wal::Ordinal ordinal = 0;  ///< batch of the record that carries it; 0: only in memory
  std::uint32_t turn = 0;    ///< its place in the ring
  Kind kind{};
  std::uint8_t key_bytes = 0;

  std::string_view key() const { return {reinterpret_cast<const char*>(this + 1), key_bytes}; }
};

/// A key of the window, wherever it lies; or none.
class KeyRef {
 public:
  KeyRef() = default;
  explicit KeyRef(Entry& message) : bits_(reinterpret_cast<std::uintptr_t>(&message)) {}
  explicit KeyRef(EndedKey& ended) : bits_(reinterpret_cast<std::uintptr_t>(&ended) | kEnded) {}

  explicit operator bool() const { return bits_ != 0; }
  // One word and not two: the set has one for each key.
  // NOLINTBEGIN(performance-no-int-to-ptr)
  Entry* message() const { return (bits_ & kEnded) != 0 ? nullptr : reinterpret_cast<Entry*>(bits_); }
  EndedKey* ended() const { return (bits_ & kEnded) == 0 ? nullptr : reinterpret_cast<EndedKey*>(bits_ & ~kEnded); }
  // NOLINTEND(performance-no-int-to-ptr)

  std::string_view key() const { return message() != nullptr ? message()->key() : ended()->key(); }
  MessageId id() const { return message() != nullptr ? message()->id : ended()->id; }
  Kind kind() const { return message() != nullptr ? message()->kind() : ended()->kind; }
  /// Of the record that carries it; 0: only in memory.
  wal::Ordinal ordinal() const { return message() != nullptr ? message()->ordinal : ended()->ordinal; }

 private:
  static constexpr std::uintptr_t kEnded = 1;
  static_assert(alignof(Entry) > 1 && alignof(EndedKey) > 1);
  std::uintptr_t bits_ = 0;
};

class KeyWindow {
 public:
  KeyWindow(Duration window, std::uint32_t max) : window_(window), max_(max) {}
  ~KeyWindow();
  KeyWindow(const KeyWindow&) = delete;
  KeyWindow& operator=(const KeyWindow&) = delete;

  KeyRef find(std::string_view key) const;
  /// Takes in the key that the entry carries, which must not be there. `age`: since the submit that brought it, by the
  /// wall clock; 0 but for recovery, which sorts afterwards.
  void add(Entry& message, Duration age, MonoTime now);
  /// The same for a key whose message is gone already.
  EndedKey& add_ended(std::string_view key, MessageId id, Kind kind, WallTime created_at, Duration age, MonoTime now);
  /// The message ends, its key stays: the entry has none any more.
  EndedKey& end(Entry& message);
  void logged(EndedKey& key, wal::Ordinal ordinal);
  void erase(KeyRef key);

  /// A key that must go: its window is over, or there are too many.
  KeyRef due(MonoTime now);
  MonoTime next() const;
  template <class Visit>  // void(EndedKey&)
  void each_ended(Visit visit) {
    for (const Turn& turn : ring_) {
      if (turn.key && turn.key.ended() != nullptr) visit(*turn.key.ended());
    }
  }
  EndedKey* oldest_logged() { return logged_.empty() ? nullptr : &*logged_.begin(); }
  std::size_t size() const { return keys_.size(); }
  std::size_t bytes() const { return bytes_; }
  std::uint64_t evicted() const { return evicted_; }
  /// After recovery, which adds in the order of the log.
  void sort();

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
    std::size_t operator()(KeyRef key) const { return (*this)(key.key()); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(KeyRef a, KeyRef b) const { return a.key() == b.key(); }
    bool operator()(KeyRef a, std::string_view b) const { return a.key() == b; }
    bool operator()(std::string_view a, KeyRef b) const { return a == b.key(); }
  };
  struct ByOrdinal {
    bool operator()(const EndedKey& a, const EndedKey& b) const { return a.ordinal < b.ordinal; }
  };
  /// One place of the ring of ages. A key that left early leaves it empty.
  struct Turn {
    KeyRef key;
    MonoTime ends;
  };

  void enter(KeyRef key, Duration age, MonoTime now);
  static std::uint32_t turn_of(KeyRef key);
  static void set_turn(KeyRef key, std::uint32_t turn);
  Turn& place(std::uint32_t turn) { return ring_[static_cast<std::uint32_t>(turn - first_turn_)]; }
  void drop_empty_front();
  static EndedKey* make_ended(std::string_view key);
  void free_ended(EndedKey* ended);

  Duration window_;
  std::uint32_t max_;
  boost::unordered_flat_set<KeyRef, Hash, Equal> keys_;
  std::deque<Turn> ring_;  ///< by the end of the window; the front is not empty
  std::uint32_t first_turn_ = 0;
  boost::intrusive::multiset<EndedKey, boost::intrusive::compare<ByOrdinal>> logged_;
  std::size_t bytes_ = 0;
  std::uint64_t evicted_ = 0;
};

}  // namespace qh::queue
