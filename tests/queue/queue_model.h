// tests/queue/queue_model.h - what a queue is, in the simplest words: one map, searched from end to end.
//
// Shares nothing with the engine but the types of its answers. Time moves by advance() alone.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "queue/engine.h"

namespace qh::queue {

struct Model {
  struct Message {
    Kind kind{};
    Bytes body;
    std::int64_t created_ms = 0;
    bool durable = false;
    MessageState state = MessageState::kReady;
    std::uint32_t deliveries = 0;
    std::int64_t ready_ms = 0;      ///< kDelayed
    bool ready_is_rounded = false;  ///< by chance, to the ns: up to one ms later than that
    std::int64_t expires_ms = 0;    ///< 0: never
    std::uint64_t lease = 0;
    std::int64_t lease_ends_ms = 0;  ///< kLeased, not held
    bool held = false;
    std::string key, last_error;
    DeadReason reason{};
    std::int64_t died_ms = 0;
  };
  struct Key {
    std::uint64_t id = 0;
    std::int64_t ends_ms = 0;
    bool durable = false;
    bool perhaps = false;  ///< left early, and a start may have found it in the log again
  };

  std::int64_t now_ms = 0;
  std::uint32_t fairness = 0, max_deliveries = 0;
  std::size_t dead_max = 0, keys_max = 0;
  std::int64_t window_ms = 0;
  std::map<std::uint64_t, Message> messages;
  std::map<std::string, Key> keys, left_early;
  std::uint8_t paused = 0;
  std::array<std::uint32_t, 4> streak{};
  Counters counters;

  static int rank(Kind kind) {
    switch (kind) {
      case Kind::kBlockImport:
      case Kind::kVote:
        return 0;
      case Kind::kTransaction:
      case Kind::kEntropyShare:
        return 1;
      case Kind::kGossip:
        return 2;
      case Kind::kTelemetry:
        return 3;
    }
    return 3;
  }

  void make_durable(Message& m) {
    m.durable = true;
    if (!m.key.empty()) keys[m.key].durable = true;
  }

  void add(std::uint64_t id, Message m) {
    m.created_ms = now_ms;
    m.state = m.ready_ms > now_ms ? MessageState::kDelayed : MessageState::kReady;
    if (!m.key.empty()) keys[m.key] = {id, now_ms + window_ms, m.durable};
    ++(m.durable ? counters.submitted_sync : counters.submitted_async);
    auto& added = messages.emplace(id, std::move(m)).first->second;
    if (has_expired(added)) expire(added);
    limit_dead();
  }

  bool has_expired(const Message& m) const { return m.expires_ms != 0 && m.expires_ms <= now_ms; }
  void expire(Message& m) { die(m, DeadReason::kExpired, "expired at " + std::to_string(m.expires_ms) + " ms"); }

  void die(Message& m, DeadReason reason, std::string error) {
    m.state = MessageState::kDead;
    m.reason = reason;
    m.died_ms = now_ms;
    m.last_error = std::move(error);
    make_durable(m);
    ++counters.dead_lettered;
  }
  std::vector<std::uint64_t> dead() const {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, m] : messages) {
      if (m.state == MessageState::kDead) ids.push_back(id);
    }
    std::sort(ids.begin(), ids.end(), [&](auto a, auto b) {
      return std::pair(messages.at(a).died_ms, a) < std::pair(messages.at(b).died_ms, b);
    });
    return ids;
  }
  void limit_dead() {
    for (auto ids = dead(); ids.size() > dead_max; ids.erase(ids.begin())) {
      messages.erase(ids.front());
      ++counters.dead_evicted;
    }
  }

  /// What time does by itself, one moment after the other.
  void advance(std::int64_t by_ms) {
    const auto end = now_ms + by_ms;
    while (true) {
      std::uint64_t next = 0;
      std::int64_t at = end + 1;
      for (const auto& [id, m] : messages) {
        std::int64_t due = INT64_MAX;
        if (m.state == MessageState::kLeased && !m.held) due = m.lease_ends_ms;
        if (m.state == MessageState::kDelayed) due = m.ready_ms + m.ready_is_rounded;
        if ((m.state == MessageState::kDelayed || m.state == MessageState::kReady) && m.expires_ms != 0)
          due = std::min(due, m.expires_ms);
        if (due < at) std::tie(next, at) = std::pair(id, due);
      }
      if (next == 0) break;
      now_ms = std::max(now_ms, at);
      happen(messages.at(next));
    }
    now_ms = end;
    limit_keys();
    limit_dead();
  }
  /// Windows end, and of too many keys the oldest leaves. It lies in the log still: a start may bring it back, as long
  /// as there is room for it.
  void limit_keys() {
    for (auto* some : {&keys, &left_early})
      std::erase_if(*some, [&](const auto& k) { return k.second.ends_ms <= now_ms; });
    while (keys.size() > keys_max) {
      const auto oldest = std::min_element(keys.begin(), keys.end(), [](const auto& a, const auto& b) {
        return std::pair(a.second.ends_ms, a.second.id) < std::pair(b.second.ends_ms, b.second.id);
      });
      if (oldest->second.durable) left_early[oldest->first] = oldest->second;
      keys.erase(oldest);
    }
    for (auto& [key, left] : left_early) left.perhaps = left.perhaps && keys.size() < keys_max;
    for (auto& [id, m] : messages) {
      if (!m.key.empty() && !keys.contains(m.key)) m.key.clear();
    }
  }
  /// The key as a submit finds it that was told whether it was `seen`: one that may be back can be either.
  const Key* find_key(const std::string& key, bool seen) {
    if (const auto it = keys.find(key); it != keys.end()) return &it->second;
    const auto left = left_early.find(key);
    if (left == left_early.end() || !left->second.perhaps) return nullptr;
    left->second.perhaps = seen;
    return seen ? &left->second : nullptr;
  }
  /// How many keys there are at most: at least keys.size().
  std::size_t most_keys() const {
    const auto perhaps =
        std::count_if(left_early.begin(), left_early.end(), [](const auto& k) { return k.second.perhaps; });
    return perhaps == 0 ? keys.size() : std::min(keys_max, keys.size() + static_cast<std::size_t>(perhaps));
  }
  void happen(Message& m) {
    if (m.state == MessageState::kLeased) {
      ++counters.expired_leases;
      if (m.deliveries >= max_deliveries)
        die(m, DeadReason::kMaxDeliveries, m.last_error.empty() ? "its lease ran out" : m.last_error);
      else
        m.state = MessageState::kReady;
    } else if (has_expired(m)) {
      expire(m);
    } else {
      m.state = MessageState::kReady;
    }
    limit_dead();
  }

  /// Higher class first, then by id; after `fairness` of one class one of the next. What has expired in front of the
  /// first of a class that has not dies of it.
  std::optional<std::uint64_t> pick(KindMask mask) {
    std::array<std::uint64_t, 4> heads{};
    for (auto& [id, m] : messages) {
      const bool may = m.state == MessageState::kReady && mask.has(m.kind) && !KindMask(paused).has(m.kind);
      auto& head = heads[static_cast<std::size_t>(rank(m.kind))];
      if (!may || head != 0) continue;
      if (has_expired(m))
        expire(m);
      else
        head = id;
    }
    std::vector<std::size_t> classes;
    for (std::size_t i = 0; i < 4; ++i) {
      if (heads[i] != 0) classes.push_back(i);
    }
    if (classes.empty()) return std::nullopt;
    std::size_t at = 0;
    while (fairness > 0 && at + 1 < classes.size() && streak[classes[at]] >= fairness) streak[classes[at++]] = 0;
    ++streak[classes[at]];
    return heads[classes[at]];
  }

  std::vector<std::uint64_t> order() const {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, m] : messages) {
      if (m.state == MessageState::kReady) ids.push_back(id);
    }
    std::sort(ids.begin(), ids.end(), [&](auto a, auto b) {
      return std::pair(rank(messages.at(a).kind), a) < std::pair(rank(messages.at(b).kind), b);
    });
    return ids;
  }

  Message* leased(std::uint64_t lease) {
    for (auto& [id, m] : messages) {
      if (m.state == MessageState::kLeased && m.lease == lease) return &m;
    }
    return nullptr;
  }
  void erase(const Message* gone) {
    std::erase_if(messages, [&](const auto& m) { return &m.second == gone; });
  }

  void stop() {
    for (auto& [id, m] : messages) {
      if (m.state == MessageState::kLeased) {
        if (!m.held && m.deliveries > 0) --m.deliveries;
        m.state = MessageState::kReady;
      }
      make_durable(m);
    }
    for (auto& [key, seen] : keys) seen.durable = true;
    restart();
  }
  void kill() {
    std::erase_if(messages, [](const auto& m) { return !m.second.durable; });
    for (auto& [id, m] : messages) {
      if (m.state == MessageState::kLeased) m.state = MessageState::kReady;
    }
    restart();
  }
  void restart() {
    std::erase_if(keys, [](const auto& k) { return !k.second.durable; });
    for (auto& [key, left] : left_early) left.perhaps = !keys.contains(key);
    std::erase_if(left_early, [](const auto& k) { return !k.second.perhaps; });
    streak = {};
    for (auto& [id, m] : messages) {
      m.held = false;
      m.ready_is_rounded = false;
      if (m.state == MessageState::kDead) continue;
      if (m.deliveries >= max_deliveries)
        die(m, DeadReason::kMaxDeliveries,
            m.last_error.empty() ? "its consumer, or the node, ended before it answered" : m.last_error);
      else if (has_expired(m))
        expire(m);
    }
    limit_dead();
  }
};

}  // namespace qh::queue
