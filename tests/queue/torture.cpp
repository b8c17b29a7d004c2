#include "torture.h"

#include <optional>
#include <set>

#include <fmt/format.h>

#include "promise_ledger.h"
#include "queue_machine.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Torture {
 public:
  Torture(std::uint64_t seed, const TortureOptions& options)
      : options_(options), rng_(seed), machine_(seed, queue_options(options), disk_options(seed)) {}

  TortureResult run() {
    for (int life = 0; life < options_.lives && ledger_.failure().empty(); ++life) {
      ++result_.lives;
      if (!begin_life()) break;
      const auto count = rng_.below(static_cast<std::uint64_t>(options_.operations_a_life)) + 1;
      for (std::uint64_t i = 0; i < count && ledger_.failure().empty(); ++i) one_operation();
      end_life();
    }
    if (ledger_.failure().empty()) drain();
    result_.failure = ledger_.failure();
    return result_;
  }

 private:
  static Options queue_options(const TortureOptions& options) {
    auto queue = small_options();
    queue.batches_in_flight = options.batches_in_flight;
    return queue;
  }
  static SimDisk::Options disk_options(std::uint64_t seed) {
    SimDisk::Options disk;
    disk.inline_share = seed % 3 == 0 ? 1.0 : seed % 3 == 1 ? 0.5 : 0.0;
    if (seed % 5 == 0) disk.directory_loss = SimDirectory::Loss::kAnySubset;
    return disk;
  }

  bool begin_life() {
    machine_.disk.faults().clear();
    machine_.disk.set_read_only(false);
    machine_.disk.set_capacity(UINT64_MAX);
    machine_.disk.set_descriptors_max(SIZE_MAX);
    const auto report = machine_.start();
    if (!report) {
      ledger_.fail("start: " + report.error().to_string());
      return false;
    }
    result_.torn += report->torn_bytes > 0;
    ledger_.look(present());
    check_order();
    plan_faults();
    return ledger_.failure().empty();
  }

  void plan_faults() {
    if (!options_.faults) return;
    switch (rng_.below(6)) {
      case 0:
        machine_.disk.faults().plan({.ops = kMakesDurable, .nth = rng_.below(60) + 1, .os_errno = EIO});
        break;
      case 1:
        machine_.disk.faults().plan({.ops = kChangesDisk, .nth = rng_.below(60) + 1, .os_errno = ENOSPC});
        break;
      case 2:
        machine_.disk.set_capacity(machine_.disk.used_bytes() + rng_.below(256U << 10));
        break;
      case 3:
        machine_.disk.set_descriptors_max(rng_.below(6) + 2);
        break;
      case 4:
        machine_.disk.faults().plan({.ops = only(DiskOp::kZeroFill) | only(DiskOp::kRename),
                                     .nth = rng_.below(4) + 1,
                                     .os_errno = EROFS,
                                     .lasting = true});
        break;
      default:
        break;
    }
  }

  void end_life() {
    const auto metrics = machine_.engine->metrics();
    result_.recycled += metrics.wal_recycles;
    result_.files = std::max(result_.files, metrics.wal_segments);
    if (machine_.engine->state() == EngineState::kFailed) ++result_.failed_lives;
    const auto how = rng_.below(10);
    if (how == 0 && machine_.engine->state() == EngineState::kRunning) {
      if (!machine_.stop()) ledger_.lose_memory();
      forget_life();
      return;
    }
    // Let some of what is under way get further, so that every moment is cut at some seed.
    for (auto steps = rng_.below(12); steps > 0; --steps) machine_.step();
    if (rng_.below(2) == 0) begin_a_write();
    if (options_.power_cuts)
      machine_.power_cut(rng_.next());
    else
      machine_.process_kill(rng_.next());
    ledger_.lose_memory();
    forget_life();
  }

  /// Cut inside it: a batch of several blocks has been handed to the disk, and nothing is known of it.
  void begin_a_write() {
    for (auto count = rng_.below(6) + 2; count > 0; --count) ask_to_submit(Durability::kSync);
    machine_.step();
  }

  void forget_life() {
    leases_.clear();
    keyed_.clear();
  }

  // -- Work ------------------------------------------------------------------------------------------------

  Message message_of(std::uint64_t tag) {
    const auto size = rng_.below(8) == 0 ? rng_.below(3500) : rng_.below(200);
    return tagged(tag, rng_.below(4), Bytes(size, static_cast<std::byte>(tag)));
  }

  void one_operation() {
    switch (rng_.below(22)) {
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
      default:
        if (rng_.below(4) == 0) machine_.world.jump_wall(seconds(static_cast<std::int64_t>(rng_.below(100)) - 50));
        for (auto steps = rng_.below(10); steps > 0; --steps) machine_.step();
    }
  }

  void submit(Durability durability) {
    ask_to_submit(durability);
    maybe_wait();
  }

  void ask_to_submit(Durability durability) {
    const auto tag = next_tag_++;
    ledger_.submit(tag);
    ++result_.submits;
    SubmitOptions how;
    how.durability = durability;
    how.submitted_by = "torture";
    const auto extra = rng_.below(10);
    if (extra == 0) how.idempotency_key = remembered_key(tag);
    if (extra == 2) how.expires_at = machine_.world.wall() + seconds(rng_.below(20) + 1);
    if (extra == 1) how.not_before = machine_.world.wall() + seconds(rng_.below(10));
    auto done = [this, tag, durability](Result<Submitted> result) {
      if (result) ledger_.submitted(tag, result->id, durability);
    };
    machine_.engine->submit({encode(message_of(tag)).value(), how}, done);
    if (extra == 0 && rng_.below(2) == 0) {
      machine_.engine->submit({encode(message_of(tag)).value(), how},
                              [this, tag, durability](Result<Submitted> result) {
                                if (result && result->persisted) ledger_.submitted(tag, result->id, durability);
                              });
    }
  }

  void submit_batch() {
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

  static std::string key_of(std::uint64_t tag) { return "key " + std::to_string(tag); }
  /// One that this life's repeats may use.
  std::string remembered_key(std::uint64_t tag) {
    keyed_.emplace_back(tag, machine_.world.mono());
    return key_of(tag);
  }

  /// Of one of the newest keys: their first submits may be under way, in part on disk, only in memory, or over. One
  /// whose window may be over would be a new message.
  std::optional<std::pair<std::uint64_t, Submission>> again() {
    if (keyed_.empty()) return std::nullopt;
    const auto& [tag, since] = keyed_[keyed_.size() - 1 - rng_.below(std::min<std::size_t>(keyed_.size(), 12))];
    if (machine_.world.mono() - since > seconds(40)) return std::nullopt;
    SubmitOptions how;
    how.durability = rng_.below(3) == 0 ? Durability::kAsync : Durability::kSync;
    how.submitted_by = "torture";
    how.idempotency_key = key_of(tag);
    return std::pair(tag, Submission{encode(message_of(tag)).value(), how});
  }

  /// What a repeat is told holds as if it had been the first. One alone, or a batch of some.
  void repeat() {
    std::vector<std::uint64_t> tags;
    std::vector<Submission> batch;
    for (auto n = rng_.below(4) + 1; n > 0; --n) {
      auto one = again();
      if (!one) continue;
      tags.push_back(one->first);
      batch.push_back(std::move(one->second));
    }
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
    maybe_wait();
  }

  /// Sometimes the next call comes before the answer to the last.
  void maybe_wait() {
    if (rng_.below(3) == 0) return;
    const auto before = machine_.engine->metrics().wal_durable_seq;
    machine_.run_until([&] { return machine_.engine->metrics().wal_durable_seq != before; }, 30);
  }

  // Until the answer comes, the first in order may be gone; or, where the take had to wait for room in the log,
  // whichever was first then: one message for each take that was never answered.
  void take() {
    if (const auto head = machine_.engine->peek(1); !head.empty()) ledger_.may_go(tag_of(head[0]), "take asked");
    ledger_.take();
    machine_.engine->take({KindMask::all(), MonoTime{}}, [this](Result<std::optional<Taken>> taken) {
      // A log that has failed may have written the hand-out before.
      if (taken || taken.error().code != Errc::kStorageFailed) ledger_.take_answered();
      if (taken && *taken) handed_out(std::move(**taken).consume());
    });
    maybe_wait();
  }

  void lease() {
    const auto max = static_cast<std::uint32_t>(rng_.below(4) + 1);
    machine_.engine->lease({KindMask::all(), MonoTime{}}, max, seconds(rng_.below(4) + 1),
                           [this](Result<std::vector<Leased>> leased) {
                             if (!leased) return;
                             for (const auto& one : *leased) {
                               ++result_.hand_outs;
                               const auto tag = tag_of(one.message);
                               ledger_.leased(tag, one.message.id);
                               if (!lease_ids_.insert(one.lease).second)
                                 ledger_.fail(fmt::format("lease {} was given twice", one.lease.value()));
                               leases_.emplace_back(one.lease, tag);
                             }
                           });
    maybe_wait();
  }

  std::optional<std::pair<LeaseId, std::uint64_t>> any_lease() {
    if (leases_.empty()) return std::nullopt;
    const auto at = rng_.below(leases_.size());
    const auto lease = leases_[at];
    leases_.erase(leases_.begin() + static_cast<std::ptrdiff_t>(at));
    return lease;
  }

  void ack() {
    const auto lease = any_lease();
    if (!lease) return;
    ledger_.may_go(lease->second, "ack asked");
    machine_.engine->ack({lease->first}, [this, tag = lease->second](Result<LeaseOutcome> outcome) {
      if (outcome && outcome->done == 1) ledger_.gone(tag, "acked");
    });
    maybe_wait();
  }

  void nack() {
    const auto lease = any_lease();
    if (!lease) return;
    std::optional<Duration> delay;
    if (rng_.below(2) == 0) delay = milliseconds(rng_.below(2000));
    machine_.engine->nack({lease->first}, delay, "no", [](Result<LeaseOutcome>) {});
    maybe_wait();
  }

  void hold() {
    const auto lease = any_lease();
    if (!lease) return;
    machine_.engine->hold({lease->first}, [](Result<LeaseOutcome>) {});
    maybe_wait();
  }

  void tidy() {
    switch (rng_.below(4)) {
      case 0:
        machine_.engine->retry_all_dead(0, [](Result<std::uint64_t>) {});
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

  // -- The check -------------------------------------------------------------------------------------------

  std::vector<std::pair<std::uint64_t, MessageId>> present() {
    std::vector<std::pair<std::uint64_t, MessageId>> found;
    machine_.engine->each([&](const Found& there) { found.emplace_back(tag_of(*there.message), there.message->id); });
    return found;
  }

  void check_order() {
    const auto ready = machine_.engine->peek(1000);
    for (std::size_t i = 1; i < ready.size(); ++i) {
      const auto& a = ready[i - 1];
      const auto& b = ready[i];
      if (a.priority() < b.priority() || (a.priority() == b.priority() && a.id >= b.id)) {
        return ledger_.fail(fmt::format("{} comes before {}", a.id.value(), b.id.value()));
      }
    }
  }

  void handed_out(const QueuedMessage& message) {
    ++result_.hand_outs;
    ledger_.taken(message);
  }

  void drain() {
    if (!begin_life()) return;
    machine_.disk.faults().clear();
    machine_.disk.set_capacity(UINT64_MAX);
    machine_.disk.set_descriptors_max(SIZE_MAX);
    machine_.answer<KindMask>([&](auto done) { machine_.engine->resume(KindMask::all(), std::move(done)); });
    machine_.run_for(seconds(200));
    machine_.answer<std::uint64_t>([&](auto done) { machine_.engine->retry_all_dead(0, std::move(done)); });
    while (ledger_.failure().empty()) {
      auto taken = machine_.take();
      if (!taken) return ledger_.fail("drain: " + taken.error().to_string());
      if (!*taken) break;
      handed_out(std::move(**taken).consume());
    }
    const auto depth = machine_.engine->depth().total();
    if (depth != 0) ledger_.fail(fmt::format("{} messages are left after all were taken", depth));
    ledger_.all_gone();
  }

  TortureOptions options_;
  SeededRng rng_;
  QueueMachine machine_;
  TortureResult result_;
  PromiseLedger ledger_{[this] {
    return fmt::format("life {}, {:.6f} s", result_.lives, static_cast<double>(machine_.world.mono().ns) * 1e-9);
  }};
  std::set<LeaseId> lease_ids_;
  std::vector<std::pair<LeaseId, std::uint64_t>> leases_;
  std::vector<std::pair<std::uint64_t, MonoTime>> keyed_;  ///< of this life
  std::uint64_t next_tag_ = 1;
};

}  // namespace

TortureResult torture(std::uint64_t seed, const TortureOptions& options) { return Torture(seed, options).run(); }

}  // namespace qh::queue
