// queue/key_window.h - which idempotency keys were seen, and for which message.
//
// A key lasts for the window from the submit that brought it; repeats do not renew it, and the end of its
// message does not end it. Across restarts the age of a key is read from the wall clock, once; from then
// on the monotonic clock counts, so that a jump of the wall clock neither ends a window early nor keeps it.
// When there are too many, the oldest leaves early, counted: a bound in memory is worth more than the tail
// of a window.
//
// Private to the room. Threads: the owner's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include <boost/intrusive/list.hpp>

#include "base/clock.h"
#include "queue/log_writer.h"
#include "queue/queued_message.h"

namespace qh::queue {

struct Entry;

struct AgeTag;
struct KeyLogTag;
struct KeyEntry : boost::intrusive::list_base_hook<boost::intrusive::tag<AgeTag>>,
                  boost::intrusive::list_base_hook<boost::intrusive::tag<KeyLogTag>> {
  std::string_view key;  ///< points into the map's own string
  MessageId id;
  Kind kind{};
  WallTime created_at;
  MonoTime ends;
  wal::Ordinal ordinal = 0;  ///< batch of the record that carries it; 0: only in memory
  Entry* message = nullptr;  ///< while it is in the queue
};

class KeyWindow {
 public:
  KeyWindow(Duration window, std::uint32_t max) : window_(window), max_(max) {}
  ~KeyWindow();

  KeyEntry* find(std::string_view key);
  /// The key must not be there. `created_at` in the past shortens the window (recovery).
  KeyEntry& add(std::string_view key, MessageId id, Kind kind, WallTime created_at, WallTime now_wall, MonoTime now);
  void logged(KeyEntry& entry, wal::Ordinal ordinal);
  void erase(KeyEntry& entry);

  /// A key that must go: its window is over, or there are too many.
  KeyEntry* due(MonoTime now);
  MonoTime next() const;
  template <class Visit>  // void(KeyEntry&)
  void each(Visit visit) {
    for (KeyEntry& entry : by_age_) visit(entry);
  }
  KeyEntry* oldest_logged() { return logged_.empty() ? nullptr : &logged_.front(); }
  std::size_t size() const { return keys_.size(); }
  std::size_t bytes() const { return bytes_; }
  std::uint64_t evicted() const { return evicted_; }
  /// After recovery, which adds in the order of the log.
  void sort();

 private:
  using AgeList = boost::intrusive::list<
      KeyEntry, boost::intrusive::base_hook<boost::intrusive::list_base_hook<boost::intrusive::tag<AgeTag>>>>;
  using LogList = boost::intrusive::list<
      KeyEntry, boost::intrusive::base_hook<boost::intrusive::list_base_hook<boost::intrusive::tag<KeyLogTag>>>>;
  using LogHook = boost::intrusive::list_base_hook<boost::intrusive::tag<KeyLogTag>>;

  Duration window_;
  std::uint32_t max_;
  std::unordered_map<std::string, KeyEntry> keys_;
  AgeList by_age_;
  LogList logged_;
  std::size_t bytes_ = 0;
  std::uint64_t evicted_ = 0;
};

}  // namespace qh::queue
