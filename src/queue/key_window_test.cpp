// The window against a naive one, under every change that the engine makes to it.
#include "queue/key_window.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace qh::queue {
namespace {

using std::chrono::seconds;

struct Naive {
  MessageId id;
  MonoTime ends;
  Entry* message = nullptr;
  wal::Ordinal ordinal = 0;
};

/// A window, the messages in the queue, and what must be true of them.
struct Rig {
  static constexpr std::uint32_t kMax = 12;
  static constexpr seconds kWindow{10};
  KeyWindow window{kWindow, kMax};
  std::map<std::string, Naive> naive;
  MonoTime now{1};
  std::uint64_t last_id = 0;
  wal::Ordinal last_ordinal = 0;

  ~Rig() {
    for (auto& [key, line] : naive) {
      if (line.message != nullptr) Entry::destroy(line.message);
    }
  }
  WallTime wall() const { return {now.ns + 1'000'000'000'000}; }

  void add(const std::string& key, seconds age, bool logged) {
    if (naive.contains(key)) return;
    const std::string body = "\x04 a body";
    Entry* entry = Entry::make(as_bytes(body), key);
    entry->id = MessageId(++last_id);
    entry->created_at = WallTime{wall().ns - Duration(age).count()};
    if (logged) entry->ordinal = ++last_ordinal;
    window.add(*entry, age, now);
    naive[key] = {entry->id, now + (kWindow - age), entry, entry->ordinal};
  }
  void end(const std::string& key) {
    const auto line = naive.find(key);
    if (line == naive.end() || line->second.message == nullptr) return;
    window.end(*line->second.message);
    RC_ASSERT(line->second.message->key().empty());
    Entry::destroy(std::exchange(line->second.message, nullptr));
  }
  void erase(const std::string& key) {
    const auto line = naive.find(key);
    if (line == naive.end()) return;
    Entry* message = line->second.message;
    window.erase(window.find(key));
    if (message != nullptr) Entry::destroy(message);
    naive.erase(line);
  }
  void carry() {
    EndedKey* oldest = window.oldest_logged();
    std::optional<wal::Ordinal> lowest;
    for (const auto& [key, line] : naive) {
      if (line.message == nullptr && line.ordinal != 0) lowest = std::min(lowest.value_or(line.ordinal), line.ordinal);
    }
    RC_ASSERT((oldest != nullptr) == lowest.has_value());
    if (oldest == nullptr) return;
    RC_ASSERT(oldest->ordinal == *lowest);
    window.logged(*oldest, ++last_ordinal);
    naive[std::string(oldest->key())].ordinal = last_ordinal;
  }
  void pass(seconds time) {
    now = now + time;
    while (const KeyRef due = window.due(now)) {
      const std::string key(due.key());
      const auto first = std::min_element(naive.begin(), naive.end(),
                                          [](const auto& a, const auto& b) { return a.second.ends < b.second.ends; });
      RC_ASSERT(naive.contains(key));
      RC_ASSERT(naive[key].ends == first->second.ends);
      RC_ASSERT(naive[key].ends <= now || naive.size() > kMax);
      erase(key);
    }
    RC_ASSERT(naive.size() <= kMax);
  }
  void check() const {
    std::size_t bytes = 0;
    for (const auto& [key, line] : naive) {
      bytes += key.size();
      const KeyRef found = window.find(key);
      RC_ASSERT(static_cast<bool>(found));
      RC_ASSERT(found.key() == key);
      RC_ASSERT(found.id() == line.id);
      RC_ASSERT(found.kind() == Kind::kGossip);
      RC_ASSERT(found.message() == line.message);
      RC_ASSERT(found.ordinal() == line.ordinal);
    }
    RC_ASSERT(window.size() == naive.size());
    RC_ASSERT(window.bytes() == bytes);
    RC_ASSERT((window.next() == MonoTime::never()) == naive.empty());
  }
};

RC_GTEST_PROP(KeyWindow, DoesWhatANaiveOneDoes, ()) {
  Rig rig;
  const auto recovering = *rc::gen::inRange(0, 30);
  const auto steps = *rc::gen::inRange(0, 120);
  for (int step = 0; step < steps; ++step) {
    const std::string key(static_cast<std::size_t>(*rc::gen::inRange(1, 4)),
                          static_cast<char>(*rc::gen::inRange('a', 'h')));
    const bool logged = *rc::gen::arbitrary<bool>();
    // Ages, and so an order that is not that of the ends, are there only until the sort.
    const seconds age(step < recovering ? *rc::gen::inRange(0, 10) : 0);
    if (step == recovering) rig.window.sort();
    switch (*rc::gen::inRange(0, 6)) {
      case 0:
      case 1:
        rig.add(key, age, logged);
        break;
      case 2:
        rig.end(key);
        break;
      case 3:
        rig.erase(key);
        break;
      case 4:
        rig.carry();
        break;
      default:
        if (step > recovering) rig.pass(seconds(*rc::gen::inRange(0, 4)));
        break;
    }
    rig.check();
  }
}

}  // namespace
}  // namespace qh::queue
