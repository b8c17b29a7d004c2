// rpc/test_bed.h - a dispatcher over a real engine in a temporary directory, and clocks that tests turn.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file_storage.h"
#include "queue/engine.h"
#include "rpc/dispatcher.h"

namespace qh::rpc {

class TestBed {
 public:
  explicit TestBed(queue::Options options = {}) : directory_(make_directory()) {
    storage_ = std::move(*FileStorage::open(
        directory_, {.write_method = WriteMethod::kFdatasync, .placement = FileStorage::Placement::kInline}));
    engine_ =
        std::make_unique<queue::Engine>(*storage_, clock_, rng_, std::move(options),
                                        queue::Engine::Hooks{.want_pump = [this] { pump_wanted_ = true; }, .warn = {}});
    std::optional<Result<queue::RecoveryReport>> opened;
    engine_->open([&](Result<queue::RecoveryReport> report) { opened = std::move(report); });
    settle();
    EXPECT_TRUE(opened && *opened);
    Services services{.engine = *engine_, .clock = clock_, .timers = timers_, .validator = "alice", .touched = {}};
    services.node = &node_;
    services.inject = [this](Fault fault) { injected.push_back(fault); };
    dispatcher_ = std::make_unique<Dispatcher>(std::move(services));
  }
  ~TestBed() {
    dispatcher_.reset();
    engine_.reset();
    storage_.reset();
    std::filesystem::remove_all(directory_);
  }

  /// Everything that can be done without time passing.
  void settle() {
    while (pump_wanted_ || storage_->in_flight() != 0) {
      if (std::exchange(pump_wanted_, false)) engine_->pump();
      storage_->poll();
    }
  }

  /// The reply, or nothing while there is none. "" is the reply to notifications.
  std::optional<std::string> text(std::string_view body) {
    const auto reply = start(body);
    settle();
    return *reply;
  }
  std::shared_ptr<std::optional<std::string>> start(std::string_view body) {
    auto reply = std::make_shared<std::optional<std::string>>();
    last_call = dispatcher_->handle(body, caller, [reply](std::string json) { *reply = std::move(json); });
    return reply;
  }
  void advance(Duration by) {
    clock_.now = clock_.now + by;
    engine_->tick();
    settle();
    timers_.fire_until(clock_.now);
    settle();
  }

  queue::Engine& engine() { return *engine_; }
  Dispatcher& dispatcher() { return *dispatcher_; }
  const Timers& timers() const { return timers_; }
  std::size_t armed_timers() const { return timers_.armed.size(); }

  Caller caller{.name = "alice", .roles = RoleSet::all()};
  Dispatcher::CallId last_call = 0;
  std::vector<Fault> injected;

 private:
  struct ManualClock final : Clock {
    MonoTime mono() override { return now; }
    WallTime wall() override { return WallTime{1'700'000'000'000'000'000 + now.ns}; }
    MonoTime now{1'000'000'000};
  };
  struct ManualTimers final : Timers {
    explicit ManualTimers(ManualClock& c) : clock(c) {}
    Id start(Duration delay, UniqueFunction<void()> fire) override {
      armed.emplace(++last, std::pair(clock.now + delay, std::move(fire)));
      return last;
    }
    void cancel(Id id) override { armed.erase(id); }
    void fire_until(MonoTime now) {
      for (auto at = armed.begin(); at != armed.end();) {
        if (at->second.first > now) {
          ++at;
          continue;
        }
        auto fire = std::move(at->second.second);
        at = armed.erase(at);
        fire();
      }
    }
    ManualClock& clock;
    Id last = 0;
    std::map<Id, std::pair<MonoTime, UniqueFunction<void()>>> armed;
  };

  /// Says that everything it is asked for has begun.
  struct Node final : NodeControl {
    void ask(NodeRequest request, UniqueFunction<void(NodeAnswer)> done) override {
      done(std::vector<ValidatorStatus>{
          {request.name.empty() ? "alice" : request.name, request.port, 0, "running", 0, ""}});
    }
  };

  static std::filesystem::path make_directory() {
    std::string path = (std::filesystem::temp_directory_path() / "qh-rpc-XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    return path;
  }

  std::filesystem::path directory_;
  ManualClock clock_;
  ManualTimers timers_{clock_};
  SeededRng rng_{7};
  Node node_;
  std::unique_ptr<FileStorage> storage_;
  std::unique_ptr<queue::Engine> engine_;
  bool pump_wanted_ = false;
  std::unique_ptr<Dispatcher> dispatcher_;
};

}  // namespace qh::rpc
