// A message is leased to death, and at once, mostly before its death is on disk, somebody asks for it back, repeats
// its key or lets it go; and there the power may go.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "torture_work.h"

namespace qh::queue {

using std::chrono::milliseconds;

/// The last delivery of some message; its next failure is its death.
std::optional<TortureWork::Held> TortureWork::lease_to_the_last() {
  for (std::uint32_t i = 0; i < 2 * machine_.options.max_deliveries; ++i) {
    const auto before = leases_.size();
    ask_to_lease(1, milliseconds(100));
    machine_.run_until([&] { return leases_.size() > before; }, 60);
    if (leases_.size() <= before) return std::nullopt;
    const auto held = leases_.back();
    leases_.pop_back();
    if (held.deliveries >= machine_.options.max_deliveries) return held;
    ask_to_nack(held, milliseconds(0));
  }
  return std::nullopt;
}

/// Up to the moment in which its lease runs out.
bool TortureWork::lapse(const Held& held) {
  return machine_.run_until([&] { return machine_.engine->find(held.id).state == MessageState::kDead; }, 200);
}

void TortureWork::death() {
  const auto held = lease_to_the_last();
  if (!held) return;
  if (rng_.below(3) == 0) {
    if (!lapse(*held)) return;
  } else {
    ask_to_nack(*held, milliseconds(0));
  }
  // The record of the death lies above this.
  const auto durable_seq = machine_.engine->metrics().wal_durable_seq;
  for (auto steps = rng_.below(4) == 0 ? rng_.below(6) : 0; steps > 0; --steps) machine_.step();
  const bool early = machine_.engine->metrics().wal_durable_seq == durable_seq;
  switch (rng_.below(6)) {
    case 0:
      break;
    case 1:
      retry_all();
      break;
    case 2:
      purge_one(held->tag, held->id);
      break;
    default:
      retry_one(held->tag, held->id);
      result_.early_retries += early ? 1 : 0;
  }
  if (rng_.below(2) == 0) repeat_key_of(held->tag);
  check_places();
  cut_now_ = rng_.below(cut_one_in_) == 0;
  if (cut_now_) {
    ++result_.cut_deaths;
  } else {
    maybe_wait();
  }
}

void TortureWork::retry_all() {
  std::vector<std::uint64_t> tags;
  for (const auto& letter : machine_.engine->dead_letters({}, 100'000)) tags.push_back(tag_of(letter.message));
  const auto asked = ledger_.moment();
  ledger_.retry({});
  machine_.engine->retry_all_dead(0, [this, tags, asked](Result<std::uint64_t> count) {
    ledger_.retry_answered();
    if (!count || *count < tags.size()) return;
    for (const auto tag : tags) ledger_.revived(tag, asked);
  });
}

void TortureWork::retry_one(std::uint64_t tag, MessageId id) {
  const auto asked = ledger_.moment();
  ledger_.retry(tag);
  machine_.engine->retry_dead(id, [this, tag, asked](Result<std::uint64_t> count) {
    ledger_.retry_answered();
    if (count) ledger_.revived(tag, asked);
  });
}

void TortureWork::purge_one(std::uint64_t tag, MessageId id) {
  ledger_.may_go(tag, "purge asked");
  machine_.engine->purge_dead(id, [this, tag](Result<std::uint64_t> count) {
    if (count) ledger_.gone(tag, "purged");
  });
}

/// If this life's repeats may use it.
void TortureWork::repeat_key_of(std::uint64_t tag) {
  const auto keyed = std::find_if(keyed_.begin(), keyed_.end(), [&](const auto& k) { return k.first == tag; });
  if (keyed == keyed_.end()) return;
  if (auto one = again(keyed->first, keyed->second)) {
    std::vector<Submission> batch;
    batch.push_back(std::move(*one));
    ++result_.repeats_of_dead;
    ask_again({tag}, std::move(batch));
  }
}

void TortureWork::check_places() {
  std::map<MessageId, MessageState> places;
  std::size_t dead = 0;
  machine_.engine->each([&](const Found& found) {
    places[found.message->id] = found.state;
    dead += found.state == MessageState::kDead ? 1 : 0;
  });
  const auto letters = machine_.engine->dead_letters({}, 100'000);
  if (letters.size() != dead) ledger_.fail(fmt::format("{} dead letters, but {} dead messages", letters.size(), dead));
  for (const auto& letter : letters) {
    const auto id = letter.message.id;
    if (places[id] != MessageState::kDead) ledger_.fail(fmt::format("id {} is a dead letter and queued", id.value()));
  }
  for (const auto& ready : machine_.engine->peek(1000)) {
    if (places[ready.id] != MessageState::kReady)
      ledger_.fail(fmt::format("id {} is handed out, but it is not ready", ready.id.value()));
  }
}

}  // namespace qh::queue
