// Which work comes next; what goes out, and what operators do.
#include "torture_work.h"

#include <algorithm>

#include <fmt/format.h>

namespace qh::queue {

using std::chrono::milliseconds;
using std::chrono::seconds;

void TortureWork::one_operation() {
  switch (rng_.below(23)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      return submit(Durability::kSync);
    case 5:
    case 6:
      return submit(Durability::kAsync);
    case 7:
      return submit_batch();
    case 8:
    case 9:
    case 10:
      return take();
    case 11:
    case 12:
      return lease();
    case 13:
    case 14:
      return ack();
    case 15:
      return nack();
    case 16:
      return hold();
    case 17:
      return tidy();
    case 18:
      return machine_.run_for(milliseconds(rng_.below(3000)));
    case 19:
    case 20:
      return repeat();
    case 21:
      return death();
    default:
      if (rng_.below(4) == 0) machine_.world.jump_wall(seconds(static_cast<std::int64_t>(rng_.below(100)) - 50));
      for (auto steps = rng_.below(10); steps > 0; --steps) machine_.step();
  }
}

/// Sometimes the next call comes before the answer to the last.
void TortureWork::maybe_wait() {
  if (rng_.below(3) == 0) return;
  const auto before = machine_.engine->metrics().wal_durable_seq;
  machine_.run_until([&] { return machine_.engine->metrics().wal_durable_seq != before; }, 30);
}

// Until the answer comes, the first in order may be gone; or, where the take had to wait for room in the log,
// whichever was first then: one message for each take that was never answered.
void TortureWork::take_batch() {
  const auto max = static_cast<std::uint32_t>(rng_.below(6) + 1);
  for (const auto& one : machine_.engine->peek(max)) ledger_.may_go(tag_of(one), "take asked");
  for (std::uint32_t i = 0; i < max; ++i) ledger_.take();
  machine_.engine->take_batch({KindMask::all(), MonoTime{}}, max, [this, max](Result<std::vector<Taken>> taken) {
    const bool over = taken || taken.error().code != Errc::kStorageFailed;
    for (std::uint32_t i = 0; over && i < max; ++i) ledger_.take_answered();
    if (!taken) return;
    for (auto& one : *taken) handed_out(std::move(one).consume());
  });
  maybe_wait();
}

void TortureWork::take() {
  if (rng_.below(3) == 0) return take_batch();
  if (const auto head = machine_.engine->peek(1); !head.empty()) ledger_.may_go(tag_of(head[0]), "take asked");
  ledger_.take();
  machine_.engine->take({KindMask::all(), MonoTime{}}, [this](Result<std::optional<Taken>> taken) {
    // A log that has failed may have written the hand-out before.
    if (taken || taken.error().code != Errc::kStorageFailed) ledger_.take_answered();
    if (taken && *taken) handed_out(std::move(**taken).consume());
  });
  maybe_wait();
}

void TortureWork::ask_to_lease(std::uint32_t max, Duration duration) {
  ledger_.lease();
  machine_.engine->lease({KindMask::all(), MonoTime{}}, max, duration, [this](Result<std::vector<Leased>> leased) {
    ledger_.lease_answered();
    if (!leased) return;
    for (const auto& one : *leased) {
      ++result_.hand_outs;
      const auto tag = tag_of(one.message);
      ledger_.leased(tag, one.message.id);
      if (!lease_ids_.insert(one.lease).second)
        ledger_.fail(fmt::format("lease {} was given twice", one.lease.value()));
      leases_.push_back({one.lease, tag, one.message.id, one.message.deliveries});
    }
  });
}

void TortureWork::lease() {
  const auto max = static_cast<std::uint32_t>(rng_.below(4) + 1);
  ask_to_lease(max, seconds(rng_.below(4) + 1));
  maybe_wait();
}

std::optional<TortureWork::Held> TortureWork::any_lease() {
  if (leases_.empty()) return std::nullopt;
  const auto at = rng_.below(leases_.size());
  const auto lease = leases_[at];
  leases_.erase(leases_.begin() + static_cast<std::ptrdiff_t>(at));
  return lease;
}

void TortureWork::ack() {
  const auto lease = any_lease();
  if (!lease) return;
  ledger_.may_go(lease->tag, "ack asked");
  machine_.engine->ack({lease->lease}, [this, tag = lease->tag](Result<LeaseOutcome> outcome) {
    if (outcome && outcome->done == 1) ledger_.gone(tag, "acked");
  });
  maybe_wait();
}

void TortureWork::ask_to_nack(const Held& held, std::optional<Duration> delay) {
  const bool last = held.deliveries >= machine_.options.max_deliveries;
  const auto error = fmt::format("lease {} failed", held.lease.value());
  machine_.engine->nack({held.lease}, delay, error,
                        [this, last, error, held, asked = ledger_.moment()](Result<LeaseOutcome> outcome) {
                          if (last && outcome && outcome->done == 1)
                            ledger_.died(held.tag, asked, lost_its_text(held.id) ? "" : error);
                        });
}

/// On a full disk there is no room for the text of a nack. A letter that has left again, by a purge that is not yet
/// durable perhaps, cannot be asked.
bool TortureWork::lost_its_text(MessageId id) {
  const auto letters = machine_.engine->dead_letters({}, 10'000);
  const auto letter = std::find_if(letters.begin(), letters.end(), [&](const auto& l) { return l.message.id == id; });
  return letter == letters.end() || letter->last_error.empty() || letter->last_error == "given back by its consumer";
}

void TortureWork::nack() {
  const auto lease = any_lease();
  if (!lease) return;
  std::optional<Duration> delay;
  if (rng_.below(2) == 0) delay = milliseconds(rng_.below(2000));
  ask_to_nack(*lease, delay);
  maybe_wait();
}

void TortureWork::hold() {
  const auto lease = any_lease();
  if (!lease) return;
  machine_.engine->hold({lease->lease}, [](Result<LeaseOutcome>) {});
  maybe_wait();
}

void TortureWork::tidy() {
  switch (rng_.below(4)) {
    case 0:
      retry_all();
      break;
    case 1:
      machine_.engine->compact_wal([](Result<void>) {});
      break;
    case 2: {
      const auto head = machine_.engine->peek(3);
      if (head.empty()) return;
      const auto& last = head.back();
      const auto tag = tag_of(last);
      ledger_.may_go(tag, "remove asked");
      machine_.engine->remove(last.id, [this, tag](Result<bool> removed) {
        if (removed && *removed) ledger_.gone(tag, "removed");
      });
      break;
    }
    default: {
      const auto mask = rng_.below(3) == 0 ? KindMask::of(Kind::kGossip) : KindMask();
      machine_.engine->resume(KindMask::all(), [](Result<KindMask>) {});
      if (!mask.empty()) machine_.engine->pause(mask, [](Result<KindMask>) {});
    }
  }
  maybe_wait();
}

void TortureWork::handed_out(const QueuedMessage& message) {
  ++result_.hand_outs;
  ledger_.taken(message);
}

void TortureWork::forget_life() {
  leases_.clear();
  keyed_.clear();
  cut_now_ = false;
}

}  // namespace qh::queue
