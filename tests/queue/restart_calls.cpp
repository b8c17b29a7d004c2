// The calls of a life between two restarts.
#include <fmt/format.h>

#include "restart_life.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kIgnore = [](auto) {};

}  // namespace

void RestartLife::one() {
  const auto what = rng_.below(26);
  if (!submits(what) && !hands_out(what) && !tidies(what)) fill_or_step();
  if (rng_.below(2) == 0) {
    for (auto n = rng_.below(6); n > 0; --n) m_.step();
  }
}

bool RestartLife::submits(std::uint64_t what) {
  auto& e = *m_.engine;
  if (what < 4) {
    e.submit(fresh(), kIgnore);
  } else if (what < 6) {
    std::vector<Submission> batch;
    for (auto n = rng_.below(10) + 1; n > 0; --n) batch.push_back(fresh());
    e.submit_batch(std::move(batch), kIgnore);
  } else if (what == 6 && !how_.only_sync) {
    e.submit_held(fresh(), [this](Result<Leased> held) {
      if (held) leases_.push_back(held->lease);
    });
  } else {
    return false;
  }
  return true;
}

bool RestartLife::hands_out(std::uint64_t what) {
  auto& e = *m_.engine;
  if (what == 7) {
    e.take({KindMask::all(), MonoTime{}}, kIgnore);
  } else if (what < 11) {
    const auto max = static_cast<std::uint32_t>(rng_.below(6) + 1);
    e.lease({KindMask::all(), MonoTime{}}, max, milliseconds(rng_.below(4'000) + 100),
            [this](Result<std::vector<Leased>> leased) {
              if (!leased) return;
              for (const auto& one : *leased) leases_.push_back(one.lease);
            });
  } else if (what == 11) {
    e.ack(some_leases(), kIgnore);
  } else if (what < 14) {
    std::optional<Duration> delay;
    if (rng_.below(3) != 0) delay = milliseconds(rng_.below(3) * 900);
    e.nack(some_leases(), delay, rng_.below(2) == 0 ? "bad" : "", kIgnore);
  } else if (what == 14) {
    const auto held = some_leases();
    e.hold(held, kIgnore);
    leases_.insert(leases_.begin(), held.begin(), held.end());
  } else {
    return false;
  }
  return true;
}

bool RestartLife::tidies(std::uint64_t what) {
  auto& e = *m_.engine;
  const bool seldom = rng_.below(4) == 0;
  if (what == 15) {
    e.remove(any_id(), kIgnore);
  } else if (what == 16 && seldom) {
    e.purge(KindMask::of(Kind::kGossip), seconds(rng_.below(20)), kIgnore);
  } else if (what == 17) {
    e.retry_dead(any_id(), kIgnore);
  } else if (what == 18 && seldom) {
    e.retry_all_dead(rng_.below(2) == 0 ? 0 : 5, kIgnore);
  } else if (what == 19) {
    e.purge_dead(any_id(), kIgnore);
  } else if (what == 20 && seldom) {
    e.purge_dead_older(seconds(rng_.below(20)), kIgnore);
  } else if (what == 21 && seldom) {
    e.compact_wal(kIgnore);
  } else if (what == 22) {
    e.pause(KindMask::of(Kind::kTransaction), kIgnore);
  } else if (what == 23) {
    e.resume(KindMask::all(), kIgnore);
  } else if (what == 24) {
    m_.run_for(milliseconds(rng_.below(4'000)));
  } else {
    return false;
  }
  return true;
}

void RestartLife::fill_or_step() {
  if (how_.disk_fills && rng_.below(3) == 0) {
    m_.disk.set_capacity(rng_.below(2) == 0 ? UINT64_MAX : m_.disk.used_bytes() + rng_.below(64U << 10));
  }
  for (auto n = rng_.below(12); n > 0; --n) m_.step();
}

Submission RestartLife::keyed(const std::string& key) const {
  SubmitOptions how;
  how.durability = Durability::kAsync;
  how.idempotency_key = key;
  return {encode(Message(gossip("k"))).value(), how};
}

Submission RestartLife::fresh() {
  SubmitOptions how;
  how.durability = how_.only_sync || rng_.below(3) != 0 ? Durability::kSync : Durability::kAsync;
  how.submitted_by = fmt::format("s{}", rng_.below(3));
  if (rng_.below(3) == 0) {
    how.idempotency_key = fmt::format("key {} {}", rng_.below(30), m_.world.mono().ns / 20'000'000'000);
    keys_.try_emplace(how.idempotency_key, m_.world.mono());
  }
  if (rng_.below(6) == 0) how.expires_at = m_.world.wall() + seconds(rng_.below(30)) + -seconds(rng_.below(3));
  if (rng_.below(6) == 0) how.not_before = m_.world.wall() + seconds(rng_.below(30));
  const auto size = rng_.below(6) == 0 ? rng_.below(6'000) : rng_.below(200);
  Message message = gossip("g", std::string(size, 'g'));
  if (rng_.below(4) == 0) message = BlockImport{};
  if (rng_.below(4) == 0 && size < 4'000) message = Transaction{{}, Bytes(size / 2), std::nullopt};
  return {encode(message).value(), how};
}

std::vector<LeaseId> RestartLife::some_leases() {
  std::vector<LeaseId> some;
  for (auto n = rng_.below(4) + 1; n > 0 && !leases_.empty(); --n) {
    some.push_back(leases_.back());
    leases_.pop_back();
  }
  return some;
}

MessageId RestartLife::any_id() {
  std::vector<MessageId> ids;
  m_.engine->each([&](const Found& found) { ids.push_back(found.message->id); });
  return ids.empty() ? MessageId(1) : ids[rng_.below(ids.size())];
}

}  // namespace qh::queue
