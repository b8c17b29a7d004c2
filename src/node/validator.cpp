#include "node/validator.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

#include <poll.h>
#include <pthread.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/directory_lock.h"
#include "base/file_storage.h"
#include "base/heap_prefault.h"
#include "base/make_directories.h"
#include "base/signals_blocked.h"
#include "crypto/random.h"
#include "node/limits.h"
#include "node/log.h"
#include "node/loop_timers.h"
#include "node/queue_data.h"
#include "node/remedy.h"
#include "queue/engine.h"
#include "queue/log_format.h"
#include "queue/log_storage.h"

namespace qh::node {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

std::chrono::steady_clock::time_point loop_time(MonoTime time) {
  // Both are CLOCK_MONOTONIC.
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(time.ns));
}

constexpr Duration kPulseEvery = std::chrono::seconds(1);
constexpr std::string_view kAnotherPlace = "Choose another place: --data-dir DIR";

}  // namespace

class Validator::Impl final : public rpc::NodeControl {
 public:
  Impl(ValidatorOptions o, const FrontFactory& make_front) : options_(std::move(o)) {
    options_.queue.name = options_.name;
    front_ =
        make_front(loop_, {.validator = options_.name, .port = options_.port, .binary_port = options_.binary_port});
  }

  ~Impl() override {
    if (thread_.joinable()) thread_.join();
  }

  Result<void> start(ValidatorHooks hooks) {
    hooks_ = std::move(hooks);
    const SignalsBlocked inherited;  // durable writes run on it
    try {
      thread_ = std::thread([this] { live(); });
    } catch (const std::system_error& error) {
      return fail(error_of(error, "start its thread"));
    }
    return {};
  }

  void request_stop() {
    asio::post(loop_, [this] { stop(); });
  }

  void ask(rpc::NodeRequest request, UniqueFunction<void(rpc::NodeAnswer)> done) override {
    const auto ticket = ++last_ticket_;
    asked_.emplace(ticket, std::move(done));
    hooks_.ask(std::move(request), ticket);
  }

  void answer(std::uint64_t ticket, rpc::NodeAnswer answer) {
    asio::post(loop_, [this, ticket, answer = std::move(answer)]() mutable {
      auto asked = asked_.extract(ticket);
      if (!asked.empty()) asked.mapped()(std::move(answer));
    });
  }

 private:
  friend class Validator;

  /// All of its thread. What it held is given up here too: closing files and waiting for the disk's threads may take
  /// as long as a disk hangs, and nobody else shall wait for that.
  void live() {
    pthread_setname_np(pthread_self(), options_.name.substr(0, 15).c_str());
    asio::post(loop_, [this] { open(); });
    run();
    take_down();
    if (auto say = std::exchange(hooks_.stopped, nullptr)) say(std::move(ended_));
  }

  /// What may still call back goes first; the engine outlives whoever calls it.
  void take_down() {
    on_disk_ = true;
    front_.reset();
    dispatcher_.reset();
    storage_.reset();
    engine_.reset();
    lock_.reset();
  }

  /// The one place where an exception of a handler ends: with this validator, not with the process.
  void run() {
    try {
      loop_.run();
    } catch (const std::exception& error) {
      ended_by(error.what());
    } catch (...) {
      ended_by("an exception of no known type");
    }
  }

  void ended_by(std::string_view what) {
    Error error(Errc::kIo, "its loop ended by an error: " + std::string(what));
    if (auto say = std::exchange(hooks_.started, nullptr)) say(fail(error));
    ended_ = fail(std::move(error));
  }

  // -- Starting ------------------------------------------------------------------------------------

  void open() {
    pulse();
    on_disk_ = true;
    auto opened = open_storage();
    on_disk_ = false;
    if (!opened) return give_up(std::move(opened.error()));
    queue::Engine::Hooks hooks;
    hooks.want_pump = [this] { pump_later(); };
    hooks.warn = [this](std::string_view line) { log_warn(options_.name, line); };
    hooks.allocated = [this](const void* memory, std::size_t bytes) { heap_.allocated(memory, bytes); };
    engine_ = std::make_unique<queue::Engine>(*storage_, clock_, rng_, options_.queue, std::move(hooks));
    engine_->open([this](Result<queue::RecoveryReport> report) {
      // Not from inside the engine's own call.
      asio::post(loop_, [this, report = std::move(report)]() mutable { opened_queue(std::move(report)); });
    });
    follow_wakeup();
  }

  std::filesystem::path queue_directory() const { return options_.directory / "queue"; }

  /// One that has run goes on with the queue that it had, or not at all: in another one its ids would begin again.
  Result<void> look_for_queue() const {
    if (!options_.queue_id) return {};
    auto there = has_queue(queue_directory());
    if (!there) return fail(with_remedy(std::move(there.error())));
    if (!*there) return fail(data_is_gone("there is no queue. Nothing was changed, and nothing made"));
    const auto identity = identity_in(queue_directory());
    if (identity && identity->queue_id != *options_.queue_id) return fail(is_another_queue(*identity));
    return {};
  }

  /// Before the thread runs, or on it.
  Result<void> take_data() {
    if (lock_) return {};
    const auto directory = queue_directory();
    if (auto same = look_for_queue(); !same) return same;
    auto created = make_directories(directory);
    if (!created) return fail(with_remedy(std::move(created.error()), kAnotherPlace));
    // What was there keeps the permissions that its owner gave it.
    std::error_code ignored;
    if (*created) std::filesystem::permissions(options_.directory, std::filesystem::perms::owner_all, ignored);
    auto locked = DirectoryLock::acquire(directory, "quantumharmony-node", clock_.wall());
    if (!locked && locked.error().code == Errc::kBusy) {
      return fail(Error(Errc::kBusy, "the data in " + directory.string() + " is in use by " + locked.error().subject +
                                         ". Stop it, or give this one another place with --data-dir DIR")
                      .about(locked.error().subject));
    }
    if (!locked) return fail(with_remedy(std::move(locked.error()), kAnotherPlace));
    lock_.emplace(std::move(*locked));
    return {};
  }

  Result<void> open_storage() {
    if (auto taken = take_data(); !taken) return taken;
    auto storage_options = queue::log_storage_options(options_.queue, options_.write_method);
    storage_options.in_call = &on_disk_;
    storage_options.wake = [this] { asio::post(loop_, [this] { poll(); }); };
    auto made = FileStorage::open(queue_directory(), std::move(storage_options));
    if (!made) return fail(with_remedy(std::move(made.error()), kAnotherPlace));
    storage_ = std::move(*made);
    return {};
  }

  void opened_queue(Result<queue::RecoveryReport> report) {
    if (!report) return give_up(with_remedy(with_repair(std::move(report.error()), queue_directory())));
    dispatcher_ = std::make_unique<rpc::Dispatcher>(services());
    if (stopping_) return stop_engine();
    if (auto listening = front_->listen(*dispatcher_); !listening) return give_up(std::move(listening.error()));
    running_ = true;
    pulse();  // one that is known to run has its figures
    auto say = std::exchange(hooks_.started, nullptr);
    say(Started{std::move(*report), storage_->probe_report().to_string()});
  }

  rpc::Services services() {
    rpc::Services services{
        .engine = *engine_, .clock = clock_, .timers = timers_, .validator = options_.name, .touched = [this] {
          engine_->pump_large();
          follow_wakeup();
        }};
    services.node = this;
    if (options_.allow_faults) services.inject = [this](rpc::Fault fault) { inject(fault); };
    return services;
  }

  void pulse() {
    std::optional<queue::Metrics> figures;
    if (running_ && !stopping_) figures = engine_->metrics();
    hooks_.pulse(std::move(figures));
    if (running_) look_for_data();
    pulse_.expires_after(kPulseEvery);
    pulse_.async_wait([this](const error_code& error) {
      if (!error) pulse();
    });
  }

  // -- Its data ------------------------------------------------------------------------------------

  std::string gone() const {
    return "the data of " + options_.name + " in " + queue_directory().string() + " are gone: ";
  }

  Error data_is_gone(std::string_view how) const {
    return {Errc::kNotFound,
            gone() + std::string(how) +
                ". Put them back (mount the disk again), then call node_startValidator, or restart the node where no "
                "other one runs. A start of the node that finds none begins with an empty queue, and so does a "
                "validator that was added, once it was stopped and added again"};
  }

  Error is_another_queue(const queue::wal::Identity& there) const {
    return {Errc::kNotFound,
            gone() + "what is there is another queue, that of " + there.queue_name + " (id " + to_hex(there.queue_id) +
                "), and not the one that ran (id " + to_hex(*options_.queue_id) +
                "). Nothing was changed. Put that one back (mount the right disk), then call node_startValidator, or "
                "restart the node where no other one runs. A start of the node takes the queue that it finds, and so "
                "does a validator that was added, once it was stopped and added again"};
  }

  /// In the background, where a disk that hangs holds no more than one such look.
  void look_for_data() {
    if (std::exchange(looking_, true)) return;
    storage_->is_there(std::string(queue::wal::kIdentityName), [this](const Result<bool>& there) {
      looking_ = false;
      if (there && !*there) end(fail(data_went()));
    });
  }

  Error data_went() const {
    return data_is_gone(
        "they were removed, moved away, or something was mounted over them while it ran, so it has ended. What it "
        "acknowledged since then, a second's worth at the most, went the same way");
  }

  /// Behind the answer to whoever asked for it.
  void inject(rpc::Fault fault) {
    asio::post(loop_, [fault] {
      if (fault.kind == rpc::Fault::Kind::kError) throw std::runtime_error("a fault was injected");
      const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(fault.duration).count();
      (void)::poll(nullptr, 0, static_cast<int>(ms));
    });
  }

  void give_up(Error error) {
    failed_ = true;
    auto say = std::exchange(hooks_.started, nullptr);
    if (say) say(fail(std::move(error)));
    end({});
  }

  // -- Running -------------------------------------------------------------------------------------

  /// Behind the handlers that are ready now, so that what they submit shares one write.
  void pump_later() {
    if (std::exchange(pump_posted_, true)) return;
    asio::post(loop_, [this] {
      pump_posted_ = false;
      engine_->pump();
      front_->flush();
      follow_wakeup();
    });
  }

  void poll() {
    if (!storage_) return;
    storage_->poll();
    if (loop_.stopped()) return;  // the data are gone: nothing is answered any more
    front_->flush();
    follow_wakeup();
  }

  void follow_wakeup() {
    if (!engine_) return;
    const auto next = engine_->next_wakeup();
    // A timer that fires early only asks again; one that fires late would break promises.
    if (next >= armed_for_) return;
    armed_for_ = next;
    wakeup_.expires_at(loop_time(next));
    wakeup_.async_wait([this](const error_code& error) {
      if (error) return;
      armed_for_ = MonoTime::never();
      engine_->tick();
      follow_wakeup();
    });
  }

  // -- Stopping ------------------------------------------------------------------------------------

  void stop() {
    if (std::exchange(stopping_, true) || failed_) return;
    if (!running_) return;  // opened_queue() goes on from here
    front_->begin_stop();
    dispatcher_->begin_stop();
    stop_engine();
  }

  void stop_engine() {
    engine_->stop([this](Result<void> result) {
      asio::post(loop_, [this, result = std::move(result)]() mutable { stopped_engine(std::move(result)); });
    });
    follow_wakeup();
  }

  void stopped_engine(Result<void> result) {
    if (!running_) {
      auto say = std::exchange(hooks_.started, nullptr);
      if (say) say(fail(Errc::kShuttingDown, "stopped while it started"));
      return end(std::move(result));
    }
    if (!result) return finish(std::move(result));
    // They may have gone since the last look.
    storage_->is_there(std::string(queue::wal::kIdentityName), [this](const Result<bool>& there) {
      finish(there && !*there ? Result<void>(fail(data_went())) : Result<void>());
    });
  }

  void finish(Result<void> result) {
    front_->finish([this, result = std::move(result)]() mutable { end(std::move(result)); });
  }

  void end(Result<void> result) {
    wakeup_.cancel();
    pulse_.cancel();
    ended_ = std::move(result);
    work_.reset();
    loop_.stop();
  }

  ValidatorOptions options_;
  asio::io_context loop_{1};
  std::unique_ptr<Front> front_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{loop_.get_executor()};
  asio::steady_timer wakeup_{loop_}, pulse_{loop_};
  LoopTimers timers_{loop_};
  SystemClock clock_;
  crypto::SystemRng rng_;
  std::optional<DirectoryLock> lock_;
  std::unique_ptr<FileStorage> storage_;
  HeapPrefault heap_;
  std::unique_ptr<queue::Engine> engine_;
  std::unique_ptr<rpc::Dispatcher> dispatcher_;
  std::thread thread_;
  ValidatorHooks hooks_;
  Result<void> ended_;  ///< how the loop has ended
  std::unordered_map<std::uint64_t, UniqueFunction<void(rpc::NodeAnswer)>> asked_;
  std::uint64_t last_ticket_ = 0;
  MonoTime armed_for_ = MonoTime::never();
  std::atomic<bool> on_disk_ = false;  ///< its thread is in a call that ends when the disk answers
  bool looking_ = false;               ///< for its data
  bool pump_posted_ = false, running_ = false, stopping_ = false, failed_ = false;
};

Result<std::unique_ptr<Validator>> Validator::make(ValidatorOptions options, const FrontFactory& front) {
  const auto name = options.name;
  try {
    return std::unique_ptr<Validator>(new Validator(std::make_unique<Impl>(std::move(options), front)));
  } catch (const std::exception& error) {  // its loop takes descriptors
    return fail(error_of(error, name + ": make its loop"));
  }
}

Validator::Validator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Validator::~Validator() = default;
const ValidatorOptions& Validator::options() const { return impl_->options_; }
Result<void> Validator::bind() { return impl_->front_->bind(); }
Result<void> Validator::take_data() { return impl_->take_data(); }
Result<void> Validator::start(ValidatorHooks hooks) { return impl_->start(std::move(hooks)); }
void Validator::request_stop() { impl_->request_stop(); }
void Validator::answer(std::uint64_t ticket, rpc::NodeAnswer answer) { impl_->answer(ticket, std::move(answer)); }
bool Validator::waits_for_disk() const { return impl_->on_disk_; }

}  // namespace qh::node
