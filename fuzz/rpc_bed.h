// fuzz/rpc_bed.h - a validator's queue that has something in it, for the targets that speak to its dispatcher.
//
// Threads  one owner.
#pragma once

#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/file_storage.h"
#include "base/invariant.h"
#include "queue/engine.h"
#include "rpc/dispatcher.h"

namespace qh::fuzz {

struct FrozenClock final : Clock {
  MonoTime mono() override { return now; }
  WallTime wall() override { return WallTime{1'700'000'000'000'000'000 + now.ns}; }
  MonoTime now{1'000'000'000};
};

struct ManualTimers final : rpc::Timers {
  Id start(Duration, UniqueFunction<void()> fire) override {
    armed.emplace(++last, std::move(fire));
    return last;
  }
  void cancel(Id id) override { armed.erase(id); }
  /// As if all their time had passed.
  void fire_all() {
    for (auto due = std::exchange(armed, {}); auto& [id, fire] : due) fire();
  }
  Id last = 0;
  std::map<Id, UniqueFunction<void()>> armed;
};

/// A validator's queue on a disk in memory, made anew when it has grown.
class Bed {
 public:
  Bed() {
    std::string path = "/dev/shm/qh-fuzz-XXXXXX";
    INVARIANT(::mkdtemp(path.data()) != nullptr, "a directory to work in");
    directory_ = path;
    storage_ = std::move(*FileStorage::open(
        directory_, {.write_method = WriteMethod::kFdatasync, .placement = FileStorage::Placement::kInline}));
    queue::Options options;
    options.name = "alice";
    options.max_depth = 500;
    options.segment_bytes_min = options.segment_bytes_max = 4U << 20;
    engine_ = std::make_unique<queue::Engine>(*storage_, clock_, rng_, options,
                                              queue::Engine::Hooks{.want_pump = [this] { pump_ = true; }, .warn = {}});
    engine_->open([](Result<queue::RecoveryReport> report) { INVARIANT(report, "an empty directory opens"); });
    settle();
    rpc::Services services{.engine = *engine_, .clock = clock_, .timers = timers_, .validator = "alice", .touched = {}};
    dispatcher_ = std::make_unique<rpc::Dispatcher>(std::move(services));
    ask(R"({"jsonrpc":"2.0","method":"qssh_submitMessage","params":{"Gossip":{"topic":"t","data":"0x01"}},"id":1})");
  }
  ~Bed() {
    dispatcher_.reset();
    engine_.reset();
    storage_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::string ask(std::string_view body) {
    std::optional<std::string> reply;
    dispatcher_->handle(body, {.name = "alice", .roles = rpc::RoleSet::all()},
                        [&](std::string json) { reply = std::move(json); });
    for (int round = 0; round < 4 && !reply; ++round) pass_time();
    INVARIANT(reply, "every body is answered");
    INVARIANT(dispatcher_->open_calls() == 0, "nothing stays open");
    ++asked_;
    return *reply;
  }
  bool worn() const { return asked_ > 20'000; }
  void wear(std::uint64_t calls) { asked_ += calls; }
  rpc::Dispatcher& dispatcher() { return *dispatcher_; }
  /// Until nothing happens without time passing.
  void settle() {
    while (pump_ || storage_->in_flight() != 0) {
      if (std::exchange(pump_, false)) engine_->pump();
      storage_->poll();
    }
  }
  /// More than anything may wait.
  void pass_time() {
    settle();
    timers_.fire_all();
    clock_.now = clock_.now + std::chrono::minutes(1);
    engine_->tick();
    settle();
  }

 private:
  std::filesystem::path directory_;
  FrozenClock clock_;
  ManualTimers timers_;
  SeededRng rng_{7};
  std::unique_ptr<FileStorage> storage_;
  std::unique_ptr<queue::Engine> engine_;
  bool pump_ = false;
  std::uint64_t asked_ = 0;
  std::unique_ptr<rpc::Dispatcher> dispatcher_;
};

}  // namespace qh::fuzz
