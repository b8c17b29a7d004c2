// tests/queue/queue_snapshot.h - all that a queue says about itself, as text, and the files it stands in.
//
// Two queues that say the same are the same to every caller; a difference shows as a line.
// Threads  one owner.
#pragma once

#include <cstdlib>
#include <map>
#include <string>

#include <fmt/format.h>

#include "queue/engine.h"
#include "sim/sim_disk.h"

namespace qh::queue {

/// A number from the environment: how tests are made longer for soak.
inline std::uint64_t number_from_env(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

inline std::string describe(const QueuedMessage& m) {
  return fmt::format("id {} body {} made {} by '{}' deliveries {}", m.id.value(), to_hex(m.body.view()),
                     m.created_at.ns, m.submitted_by, m.deliveries);
}

inline std::string describe(const Counters& c) {
  return fmt::format(
      "sync {} async {} taken {} leased {} acked {} nacked {} lapsed {} died {} revived {} evicted {} removed {} "
      "repeats {}",
      c.submitted_sync, c.submitted_async, c.taken, c.leased, c.acked, c.nacked, c.expired_leases, c.dead_lettered,
      c.dead_retried, c.dead_evicted, c.removed, c.duplicates);
}

/// Messages with their states, hand-out order, dead letters, pauses, keys and counters.
inline std::string snapshot(const Engine& engine) {
  std::string text;
  engine.each([&](const Found& found) {
    text += fmt::format("{} {} ready at {}\n", message_state_name(found.state), describe(*found.message),
                        found.ready_at ? found.ready_at->ns : 0);
  });
  text += "order";
  for (const auto& message : engine.peek(1000)) text += fmt::format(" {}", message.id.value());
  text += "\n";
  for (const auto& letter : engine.dead_letters({}, 1000)) {
    text += fmt::format("dead {} {} at {}: {}\n", letter.message.id.value(), dead_reason_name(letter.reason),
                        letter.died_at.ns, letter.last_error);
  }
  const auto metrics = engine.metrics();
  text += fmt::format("paused {} keys {} bytes {}\n{}\n", engine.paused().bits(), metrics.idempotency_keys,
                      metrics.bytes, describe(metrics.counters));
  return text;
}

using Files = std::map<std::string, Bytes>;

inline Files files_of(const SimDisk& disk) {
  Files files;
  for (const auto& name : disk.names()) files[name] = *disk.contents(name);
  return files;
}

inline void put_files(SimDisk& disk, const Files& files) {
  for (const auto& name : disk.names()) {
    if (!files.contains(name)) disk.erase(name);
  }
  for (const auto& [name, bytes] : files) disk.set_contents(name, bytes);
}

}  // namespace qh::queue
