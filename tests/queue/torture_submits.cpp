// What comes in: submits, batches, and repeats of their keys.
#include "torture_work.h"

namespace qh::queue {

using std::chrono::seconds;

Message TortureWork::message_of(std::uint64_t tag) {
  auto size = rng_.below(8) == 0 ? rng_.below(3500) : rng_.below(200);
  if (large_ > 0 && rng_.below(2) == 0) size = rng_.below(large_);
  return tagged(tag, rng_.below(4), Bytes(size, static_cast<std::byte>(tag)));
}

void TortureWork::begin_a_write() {
  for (auto count = rng_.below(6) + 2; count > 0; --count) ask_to_submit(Durability::kSync);
  machine_.step();
}

void TortureWork::submit(Durability durability) {
  ask_to_submit(durability);
  maybe_wait();
}

void TortureWork::ask_to_submit(Durability durability) {
  const auto tag = next_tag_++;
  ledger_.submit(tag);
  ++result_.submits;
  SubmitOptions how;
  how.durability = durability;
  how.submitted_by = "torture";
  const auto extra = rng_.below(10);
  const bool keyed = extra > 7;
  if (keyed) how.idempotency_key = remembered_key(tag);
  if (extra == 2) how.expires_at = machine_.world.wall() + seconds(rng_.below(20) + 1);
  if (extra == 1) how.not_before = machine_.world.wall() + seconds(rng_.below(10));
  auto done = [this, tag, durability](Result<Submitted> result) {
    if (result) ledger_.submitted(tag, result->id, durability);
  };
  machine_.engine->submit({encode(message_of(tag)).value(), how}, done);
  if (keyed && rng_.below(2) == 0) {
    machine_.engine->submit({encode(message_of(tag)).value(), how}, [this, tag, durability](Result<Submitted> result) {
      if (result && result->persisted) ledger_.submitted(tag, result->id, durability);
    });
  }
}

void TortureWork::submit_batch() {
  std::vector<Submission> batch;
  std::vector<std::uint64_t> tags, keyed;
  for (auto n = rng_.below(12) + 1; n > 0; --n) {
    SubmitOptions how;
    how.durability = Durability::kSync;
    how.submitted_by = "torture";
    tags.push_back(next_tag_++);
    if (rng_.below(3) == 0) {
      keyed.push_back(tags.back());
      how.idempotency_key = key_of(keyed.back());
    }
    batch.push_back({encode(message_of(tags.back())).value(), how});
  }
  ledger_.submit_group(tags);
  const auto keys = machine_.engine->metrics().idempotency_keys;
  machine_.engine->submit_batch(std::move(batch), [this, tags](Result<std::vector<Submitted>> result) {
    if (!result) return;
    for (std::size_t i = 0; i < tags.size(); ++i) ledger_.submitted(tags[i], result->at(i).id, Durability::kSync);
  });
  // Refused, or waiting for room: a repeat could be a message by itself, and not one of the group.
  if (machine_.engine->metrics().idempotency_keys == keys + keyed.size()) {
    for (const auto tag : keyed) remembered_key(tag);
  }
  maybe_wait();
}

std::string TortureWork::key_of(std::uint64_t tag) { return "key " + std::to_string(tag); }
/// One that this life's repeats may use.
std::string TortureWork::remembered_key(std::uint64_t tag) {
  keyed_.emplace_back(tag, machine_.world.mono());
  return key_of(tag);
}

/// One whose window may be over would be a new message.
std::optional<Submission> TortureWork::again(std::uint64_t tag, MonoTime since) {
  if (machine_.world.mono() - since > seconds(40)) return std::nullopt;
  SubmitOptions how;
  how.durability = rng_.below(3) == 0 ? Durability::kAsync : Durability::kSync;
  how.submitted_by = "torture";
  how.idempotency_key = key_of(tag);
  return Submission{encode(message_of(tag)).value(), how};
}

/// Of some of the newest keys: their first submits may be under way, in part on disk, only in memory, or over.
void TortureWork::repeat() {
  std::vector<std::uint64_t> tags;
  std::vector<Submission> batch;
  for (auto n = rng_.below(4) + 1; n > 0 && !keyed_.empty(); --n) {
    const auto& [tag, since] = keyed_[keyed_.size() - 1 - rng_.below(std::min<std::size_t>(keyed_.size(), 12))];
    auto one = again(tag, since);
    if (!one) continue;
    tags.push_back(tag);
    batch.push_back(std::move(*one));
  }
  ask_again(std::move(tags), std::move(batch));
  maybe_wait();
}

/// What a repeat is told holds as if it had been the first. One alone, or a batch of some.
void TortureWork::ask_again(std::vector<std::uint64_t> tags, std::vector<Submission> batch) {
  const auto told = [this](std::uint64_t tag, const Submitted& answer) {
    if (answer.persisted) ledger_.submitted(tag, answer.id, Durability::kSync);
  };
  if (batch.size() == 1) {
    machine_.engine->submit(std::move(batch[0]), [told, tag = tags[0]](Result<Submitted> result) {
      if (result) told(tag, *result);
    });
  } else if (!batch.empty()) {
    machine_.engine->submit_batch(std::move(batch), [told, tags](Result<std::vector<Submitted>> result) {
      for (std::size_t i = 0; result && i < tags.size(); ++i) told(tags[i], result->at(i));
    });
  }
}

}  // namespace qh::queue
