// The errors of JSON-RPC that a client cannot make by what it sends: each from its own cause, with the code and
// the data that docs/json-rpc.md promises, and with the way back that its meaning promises.
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <boost/json/value.hpp>

#include "queue/json_text.h"
#include "rpc/dispatcher.h"
#include "tests/queue/queue_machine.h"

namespace qh::rpc {
namespace {

using queue::QueueMachine;
using std::chrono::milliseconds;
using std::chrono::seconds;

SimDisk::Options steady_disk() {
  SimDisk::Options disk;
  disk.stall_one_in = 0;
  return disk;
}

class WorldTimers final : public Timers {
 public:
  explicit WorldTimers(SimWorld& world) : world_(world) {}
  Id start(Duration delay, UniqueFunction<void()> fire) override {
    const Id id = ++last_;
    events_[id] = world_.after(delay, [this, id, fire = std::move(fire)]() mutable {
      events_.erase(id);
      fire();
    });
    return id;
  }
  void cancel(Id id) override {
    if (const auto found = events_.find(id); found != events_.end()) {
      world_.cancel(found->second);
      events_.erase(found);
    }
  }

 private:
  SimWorld& world_;
  Id last_ = 0;
  std::map<Id, SimWorld::EventId> events_;
};

/// A validator's method table over a queue on a simulated disk.
class Bed {
 public:
  explicit Bed(std::uint64_t seed, queue::Options options = queue::small_options(),
               SimDisk::Options disk = steady_disk())
      : m(seed, std::move(options), disk) {
    start();
  }

  void start() {
    dispatcher_.reset();
    const auto report = m.start();
    EXPECT_TRUE(report) << report.error().to_string();
    dispatcher_ = std::make_unique<Dispatcher>(
        Services{.engine = *m.engine, .clock = m.world, .timers = timers_, .validator = "alice", .touched = {}});
  }
  void restart() {
    dispatcher_.reset();
    m.process_kill(m.rng.next());
    start();
  }

  boost::json::value call(std::string_view method, std::string_view params = "[]") {
    const auto reply = std::make_shared<std::optional<std::string>>();
    dispatcher_->handle(
        R"({"jsonrpc":"2.0","method":")" + std::string(method) + R"(","params":)" + std::string(params) + R"(,"id":1})",
        caller_, [reply](std::string json) { *reply = std::move(json); });
    EXPECT_TRUE(m.run_until([&] { return reply->has_value(); })) << method << ": no answer";
    return queue::parse_json(reply->value_or("null")).value();
  }
  /// The error's object, or null when it was taken.
  boost::json::value submit(std::string_view more = {}) {
    const auto reply =
        call("qssh_submitMessage", R"({"message":{"Gossip":{"topic":"t","data":"0x)" + std::string(2'000, 'a') +
                                       R"("}},"durability":"sync")" + std::string(more) + "}");
    const auto* error = reply.as_object().if_contains("error");
    return error != nullptr ? *error : nullptr;
  }
  std::int64_t depth() { return call("qssh_getQueueDepth").at("result").as_int64(); }

  QueueMachine m;

 private:
  WorldTimers timers_{m.world};
  Caller caller_{.name = "alice", .roles = RoleSet::all()};
  std::unique_ptr<Dispatcher> dispatcher_;
};

std::string data(const boost::json::value& error, std::string_view member) {
  return std::string(std::string_view(error.at("data").at(member).as_string()));
}

void expect_error(const boost::json::value& error, int code, std::string_view reason) {
  RC_ASSERT(error.is_object());
  RC_ASSERT(error.at("code").as_int64() == code);
  RC_ASSERT(data(error, "reason") == reason);
  RC_ASSERT(!error.at("message").as_string().empty());
}

RC_GTEST_PROP(RpcErrors, RateLimitedSaysWhenItGoesOn, (std::uint64_t seed, bool of_submitter)) {
  auto options = queue::small_options();
  const auto rate = static_cast<double>(*rc::gen::inRange(1, 200));
  const auto burst = *rc::gen::inRange(1, 20);
  (of_submitter ? options.submitter_rate_limit : options.queue_rate_limit) = rate;
  (of_submitter ? options.submitter_rate_burst : options.queue_rate_burst) = burst;
  Bed bed(seed, options);
  boost::json::value error;
  std::int64_t taken = 0;
  for (; error.is_null() && taken <= 1'000; ++taken) error = bed.submit();
  --taken;
  expect_error(error, -32002, "RateLimited");
  RC_ASSERT(taken >= burst);
  RC_ASSERT(data(error, "bound") == (of_submitter ? "submitter_rate_limit" : "queue_rate_limit"));
  const auto wait = error.at("data").at("retry_after_ms").as_int64();
  RC_ASSERT(wait > 0 && static_cast<double>(wait) <= 1e3 / rate + 1);
  RC_ASSERT(bed.depth() == taken);
  bed.m.run_for(milliseconds(wait));
  RC_ASSERT(bed.submit().is_null());
}

RC_GTEST_PROP(RpcErrors, StorageFullGoesOnWhenThereIsRoom, (std::uint64_t seed)) {
  Bed bed(seed);
  const auto room = *rc::gen::inRange<std::uint64_t>(0, 1U << 20);
  bed.m.disk.set_capacity(bed.m.disk.used_bytes() + room);
  boost::json::value error;
  std::int64_t taken = 0;
  for (; error.is_null() && taken <= 5'000; ++taken) error = bed.submit();
  --taken;
  expect_error(error, -32003, "StorageFull");
  RC_ASSERT(bed.depth() == taken);
  bed.m.disk.set_capacity(UINT64_MAX);
  bed.m.run_for(seconds(30));
  RC_ASSERT(bed.submit().is_null());
  bed.restart();
  RC_ASSERT(bed.depth() == taken + 1);
}

RC_GTEST_PROP(RpcErrors, StorageFailedNamesTheFileAndSaysWhetherItIsFinal, (std::uint64_t seed)) {
  Bed bed(seed);
  bed.m.disk.faults().plan({.ops = only(DiskOp::kSync) | only(DiskOp::kDurableWrite),
                            .nth = *rc::gen::inRange<std::uint64_t>(1, 40),
                            .lasting = true,
                            .name_contains = ".wal"});
  boost::json::value error;
  std::int64_t taken = 0;
  for (; error.is_null() && taken <= 1'000; ++taken) error = bed.submit();
  --taken;
  expect_error(error, -32004, "StorageFailed");
  RC_ASSERT(data(error, "system_error") == "Input/output error");
  RC_ASSERT(data(error, "file").find(".wal") != std::string::npos);
  for (int i = 0; i < 3; ++i) expect_error(bed.submit(), -32004, "StorageFailed");
  RC_ASSERT(bed.depth() >= taken);  // it can still be looked at
  // A segment that could not be made is tried again, and takes go on; a record whose fate is unknown, which may be
  // that of the take, is the log's end.
  const auto popped = bed.call("qssh_popMessage");
  if (popped.as_object().contains("error")) expect_error(popped.at("error"), -32004, "StorageFailed");
  const auto last = bed.submit();
  expect_error(last, -32004, "StorageFailed");
  const bool final = last.at("message").as_string().find("until a restart") != std::string::npos;
  RC_ASSERT(final == popped.as_object().contains("error"));
  bed.m.disk.faults().clear();
  bed.m.run_for(seconds(30));
  RC_ASSERT(bed.submit().is_null() != final);
  bed.restart();
  RC_ASSERT(bed.depth() >= taken - 1);  // the pop may have been stored
  RC_ASSERT(bed.submit().is_null());
}

RC_GTEST_PROP(RpcErrors, TimeoutSaysWhatIsKnown, (std::uint64_t seed, bool keyed)) {
  auto slow = steady_disk();
  slow.latency_min = milliseconds(500);
  slow.latency_max = milliseconds(1'000);
  Bed bed(seed, queue::small_options(), slow);
  const auto timeout = *rc::gen::inRange(1, 400);
  const std::string key = keyed ? R"(,"idempotency_key":"k")" : "";
  const auto error = bed.submit(R"(,"timeout_ms":)" + std::to_string(timeout) + key);
  expect_error(error, -32008, "Timeout");
  RC_ASSERT(data(error, "outcome") == "unknown");
  RC_ASSERT(data(error, "retry").starts_with("repeat with the same") == keyed);
  bed.m.run_for(seconds(10));
  RC_ASSERT(bed.depth() == 1);
  if (keyed) {
    RC_ASSERT(bed.submit(key).is_null());
    RC_ASSERT(bed.depth() == 1);
  }
}

}  // namespace
}  // namespace qh::rpc
