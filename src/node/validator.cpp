#include "node/validator.h"

#include <chrono>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

#include <pthread.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/directory_lock.h"
#include "base/file_storage.h"
#include "crypto/random.h"
#include "node/log.h"
#include "queue/engine.h"

namespace qh::node {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

class LoopTimers final : public rpc::Timers {
 public:
  explicit LoopTimers(asio::io_context& loop) : loop_(loop) {}

  Id start(Duration delay, UniqueFunction<void()> fire) override {
    const Id id = ++last_;
    auto& timer = armed_.emplace(id, asio::steady_timer(loop_, delay)).first->second;
    timer.async_wait([this, id, fire = std::move(fire)](const error_code& error) mutable {
      if (error) return;
      armed_.erase(id);
      fire();
    });
    return id;
  }
  void cancel(Id id) override { armed_.erase(id); }

 private:
  asio::io_context& loop_;
  Id last_ = 0;
  std::unordered_map<Id, asio::steady_timer> armed_;
};

std::chrono::steady_clock::time_point loop_time(MonoTime time) {
  // Both are CLOCK_MONOTONIC.
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(time.ns));
}

}  // namespace

class Validator::Impl {
 public:
  Impl(ValidatorOptions o, const FrontFactory& make_front) : options(std::move(o)) {
    options.queue.name = options.name;
    front = make_front(loop, {.validator = options.name, .port = options.port});
  }

  ~Impl() {
    if (thread.joinable()) thread.join();
    // What may still call back goes first; the engine outlives whoever calls it.
    front.reset();
    dispatcher.reset();
    storage.reset();
    engine.reset();
    lock.reset();
  }

  void start(UniqueFunction<void(Result<Started>)> on_started, UniqueFunction<void(Result<void>)> on_stopped) {
    started = std::move(on_started);
    stopped = std::move(on_stopped);
    thread = std::thread([this] {
      pthread_setname_np(pthread_self(), options.name.substr(0, 15).c_str());
      asio::post(loop, [this] { open(); });
      loop.run();
    });
  }

  void request_stop() {
    asio::post(loop, [this] { stop(); });
  }

  ValidatorOptions options;
  asio::io_context loop{1};
  std::unique_ptr<Front> front;

 private:
  // -- Starting ------------------------------------------------------------------------------------

  void open() {
    if (auto opened = open_storage(); !opened) return give_up(std::move(opened.error()));
    queue::Engine::Hooks hooks;
    hooks.want_pump = [this] { pump_later(); };
    hooks.warn = [this](std::string_view line) { log_warn(options.name, line); };
    engine = std::make_unique<queue::Engine>(*storage, clock, rng, options.queue, std::move(hooks));
    engine->open([this](Result<queue::RecoveryReport> report) {
      // Not from inside the engine's own call.
      asio::post(loop, [this, report = std::move(report)]() mutable { opened_queue(std::move(report)); });
    });
    follow_wakeup();
  }

  Result<void> open_storage() {
    const auto directory = options.directory / "queue";
    std::error_code error;
    const bool created = std::filesystem::create_directories(directory, error);
    if (error) return fail(Errc::kIo, "make the directory " + directory.string(), error.value());
    // What was there keeps the permissions that its owner gave it.
    if (created) std::filesystem::permissions(options.directory, std::filesystem::perms::owner_all, error);
    auto locked = DirectoryLock::acquire(directory, "quantumharmony-node", clock.wall());
    if (!locked && locked.error().code == Errc::kBusy) {
      return fail(Error(Errc::kBusy, "the data in " + directory.string() + " is in use by " + locked.error().subject +
                                         ". Stop it, or give this one another place with --data-dir DIR")
                      .about(locked.error().subject));
    }
    if (!locked) return fail(std::move(locked.error()));
    lock.emplace(std::move(*locked));
    FileStorage::Options storage_options;
    storage_options.write_method = options.write_method;
    storage_options.wake = [this] { asio::post(loop, [this] { poll(); }); };
    auto made = FileStorage::open(directory, std::move(storage_options));
    if (!made) return fail(std::move(made.error()));
    storage = std::move(*made);
    return {};
  }

  void opened_queue(Result<queue::RecoveryReport> report) {
    if (!report) return give_up(std::move(report.error()));
    dispatcher = std::make_unique<rpc::Dispatcher>(rpc::Services{
        .engine = *engine, .clock = clock, .timers = timers, .validator = options.name, .touched = [this] {
          follow_wakeup();
        }});
    if (stopping) return stop_engine();
    if (auto listening = front->listen(*dispatcher); !listening) return give_up(std::move(listening.error()));
    running = true;
    auto say = std::exchange(started, nullptr);
    say(Started{std::move(*report), storage->probe_report().to_string()});
  }

  void give_up(Error error) {
    failed = true;
    auto say = std::exchange(started, nullptr);
    if (say) say(fail(std::move(error)));
    end({});
  }

  // -- Running -------------------------------------------------------------------------------------

  /// Behind the handlers that are ready now, so that what they submit shares one write.
  void pump_later() {
    if (std::exchange(pump_posted, true)) return;
    asio::post(loop, [this] {
      pump_posted = false;
      engine->pump();
      follow_wakeup();
    });
  }

  void poll() {
    if (!storage) return;
    storage->poll();
    follow_wakeup();
  }

  void follow_wakeup() {
    if (!engine) return;
    const auto next = engine->next_wakeup();
    // A timer that fires early only asks again; one that fires late would break promises.
    if (next >= armed_for) return;
    armed_for = next;
    wakeup.expires_at(loop_time(next));
    wakeup.async_wait([this](const error_code& error) {
      if (error) return;
      armed_for = MonoTime::never();
      engine->tick();
      follow_wakeup();
    });
  }

  // -- Stopping ------------------------------------------------------------------------------------

  void stop() {
    if (std::exchange(stopping, true) || failed) return;
    if (!running) return;  // opened_queue() goes on from here
    front->begin_stop();
    dispatcher->begin_stop();
    stop_engine();
  }

  void stop_engine() {
    engine->stop([this](Result<void> result) {
      asio::post(loop, [this, result = std::move(result)]() mutable { stopped_engine(std::move(result)); });
    });
    follow_wakeup();
  }

  void stopped_engine(Result<void> result) {
    if (!running) {
      auto say = std::exchange(started, nullptr);
      if (say) say(fail(Errc::kShuttingDown, "stopped while it started"));
      return end(std::move(result));
    }
    front->finish([this, result = std::move(result)]() mutable { end(std::move(result)); });
  }

  void end(Result<void> result) {
    wakeup.cancel();
    auto say = std::exchange(stopped, nullptr);
    work.reset();
    loop.stop();
    if (say) say(std::move(result));
  }

  asio::executor_work_guard<asio::io_context::executor_type> work{loop.get_executor()};
  asio::steady_timer wakeup{loop};
  LoopTimers timers{loop};
  SystemClock clock;
  crypto::SystemRng rng;
  std::optional<DirectoryLock> lock;
  std::unique_ptr<FileStorage> storage;
  std::unique_ptr<queue::Engine> engine;
  std::unique_ptr<rpc::Dispatcher> dispatcher;
  std::thread thread;
  UniqueFunction<void(Result<Started>)> started;
  UniqueFunction<void(Result<void>)> stopped;
  MonoTime armed_for = MonoTime::never();
  bool pump_posted = false, running = false, stopping = false, failed = false;
};

Validator::Validator(ValidatorOptions options, const FrontFactory& front)
    : impl_(std::make_unique<Impl>(std::move(options), front)) {}
Validator::~Validator() = default;
const ValidatorOptions& Validator::options() const { return impl_->options; }
Result<void> Validator::bind() { return impl_->front->bind(); }
void Validator::start(UniqueFunction<void(Result<Started>)> started, UniqueFunction<void(Result<void>)> stopped) {
  impl_->start(std::move(started), std::move(stopped));
}
void Validator::request_stop() { impl_->request_stop(); }

}  // namespace qh::node
