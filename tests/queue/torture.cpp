#include "torture.h"

#include <map>

#include <fmt/format.h>

#include "torture_work.h"

namespace qh::queue {
namespace {

using std::chrono::seconds;

class Torture {
 public:
  Torture(std::uint64_t seed, const TortureOptions& options)
      : options_(options), rng_(seed), machine_(seed, queue_options(options), disk_options(seed)) {
    if (options.large_writes) work_.make_large(kLargeMessage);
  }

  TortureResult run() {
    for (int life = 0; life < options_.lives && ledger_.failure().empty(); ++life) {
      ++result_.lives;
      if (!begin_life()) break;
      const auto count = rng_.below(static_cast<std::uint64_t>(options_.operations_a_life)) + 1;
      for (std::uint64_t i = 0; i < count && ledger_.failure().empty() && !work_.cut_now(); ++i) work_.one_operation();
      end_life();
    }
    if (ledger_.failure().empty()) drain();
    result_.failure = ledger_.failure();
    return result_;
  }

 private:
  static constexpr std::uint32_t kMaxDeliveries = 3;
  static constexpr std::uint32_t kLargeMessage = 60U << 10;

  static Options queue_options(const TortureOptions& options) {
    auto queue = small_options();
    queue.batches_in_flight = options.batches_in_flight;
    queue.max_deliveries = kMaxDeliveries;
    if (options.large_writes) {
      queue.segment_bytes_min = 256U << 10;
      queue.segment_bytes_max = 1U << 20;
      queue.max_message_bytes = kLargeMessage + 1024;
      queue.max_batch_bytes = 12 * queue.max_message_bytes;
    }
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
    for (const auto& name : machine_.disk.names()) {
      if (name.find(".unknown") != std::string::npos) ledger_.fail("a cut leaves nothing unknown: " + name);
    }
    result_.torn += report->torn_bytes > 0;
    ledger_.look(present());
    check_order();
    work_.check_places();
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
      work_.forget_life();
      return;
    }
    // Let some of what is under way get further, so that every moment is cut at some seed.
    for (auto steps = rng_.below(12); steps > 0; --steps) machine_.step();
    if (rng_.below(2) == 0) work_.begin_a_write();
    if (options_.power_cuts)
      machine_.power_cut(rng_.next());
    else
      machine_.process_kill(rng_.next());
    ledger_.lose_memory();
    work_.forget_life();
  }

  // -- The check -------------------------------------------------------------------------------------------

  std::vector<Present> present() {
    std::vector<Present> found;
    machine_.engine->each([&](const Found& there) { found.push_back({tag_of(*there.message), there.message->id}); });
    std::map<MessageId, DeadLetter> dead;
    for (auto& letter : machine_.engine->dead_letters({}, 100'000)) {
      const auto id = letter.message.id;
      dead.emplace(id, std::move(letter));
    }
    for (auto& one : found) {
      const auto letter = dead.find(one.id);
      if (letter == dead.end()) continue;
      one.dead = letter->second.reason;
      one.last_error = letter->second.last_error;
    }
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

  void drain() {
    if (!begin_life()) return;
    machine_.disk.faults().clear();
    machine_.disk.set_capacity(UINT64_MAX);
    machine_.disk.set_descriptors_max(SIZE_MAX);
    machine_.answer<KindMask>([&](auto done) { machine_.engine->resume(KindMask::all(), std::move(done)); });
    machine_.run_for(seconds(200));
    ledger_.retry({});
    machine_.answer<std::uint64_t>([&](auto done) { machine_.engine->retry_all_dead(0, std::move(done)); });
    while (ledger_.failure().empty()) {
      auto taken = machine_.take();
      if (!taken) return ledger_.fail("drain: " + taken.error().to_string());
      if (!*taken) break;
      work_.handed_out(std::move(**taken).consume());
    }
    const auto depth = machine_.engine->depth().total();
    if (depth != 0) ledger_.fail(fmt::format("{} messages are left after all were taken", depth));
    ledger_.all_gone();
  }

  TortureOptions options_;
  SeededRng rng_;
  QueueMachine machine_;
  TortureResult result_;
  PromiseLedger ledger_{kMaxDeliveries, [this] {
                          return fmt::format("life {}, {:.6f} s", result_.lives,
                                             static_cast<double>(machine_.world.mono().ns) * 1e-9);
                        }};
  TortureWork work_{machine_, rng_, ledger_, result_, static_cast<std::uint64_t>(options_.operations_a_life) / 10};
};

}  // namespace

TortureResult torture(std::uint64_t seed, const TortureOptions& options) { return Torture(seed, options).run(); }

}  // namespace qh::queue
