#include "queue/validator_queue.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "base/directory_lock.h"
#include "base/file_storage.h"
#include "base/make_directories.h"
#include "base/signals_blocked.h"
#include "crypto/random.h"
#include "queue/log_storage.h"

namespace qh::queue {
namespace {

std::chrono::steady_clock::time_point steady(MonoTime time) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(time.ns));
}

/// One answer, waited for by another thread. Shared, since the waiter may give up first.
template <class T>
struct Answer {
  std::mutex mutex;
  std::condition_variable arrived;
  std::optional<Result<T>> result;
};

}  // namespace

class ValidatorQueue::Owner {
 public:
  Owner(std::filesystem::path directory, DirectoryLock lock, UniqueFunction<void(std::string_view)> warn)
      : directory_(std::move(directory)), lock_(std::move(lock)), warn_(std::move(warn)) {}

  Result<void> start(Options options, const Files& files) {
    auto io = log_storage_options(options, files.write_method);
    io.wake = [this] { wake(); };
    auto storage = FileStorage::open(directory_, std::move(io));
    if (!storage) return fail(std::move(storage.error()));
    storage_ = std::move(*storage);
    engine_ = std::make_unique<Engine>(*storage_, clock_, rng_, std::move(options),
                                       Engine::Hooks{[this] { pump_wanted_ = true; },
                                                     [this](std::string_view line) {
                                                       if (warn_) warn_(line);
                                                     }});
    {
      const SignalsBlocked inherited;  // durable writes run on it
      thread_ = std::thread([this] { run(); });
    }
    // Recovery of a long log takes as long as it takes; it cannot be outrun by a deadline of the caller's.
    auto opened = call<RecoveryReport>(MonoTime::never(), [](Engine& e, auto done) { e.open(std::move(done)); });
    if (!opened) return fail(std::move(opened.error()));
    recovery_ = std::move(*opened);
    return {};
  }

  ~Owner() {
    if (thread_.joinable()) {
      static_cast<void>(stop());
      {
        const std::lock_guard guard(mutex_);
        ending_ = true;
      }
      wakeup_.notify_one();
      thread_.join();
    }
    storage_.reset();  // before the engine: no completion may find it gone
    engine_.reset();
  }

  void post(UniqueFunction<void(Engine&)> work) {
    {
      const std::lock_guard guard(mutex_);
      posted_.push_back(std::move(work));
    }
    wakeup_.notify_one();
  }

  template <class T, class Start>
  Result<T> call(MonoTime deadline, Start start) {
    INVARIANT(std::this_thread::get_id() != thread_.get_id(),
              "a blocking call on the queue's own thread would wait for itself");
    const auto answer = std::make_shared<Answer<T>>();
    post([answer, start = std::move(start)](Engine& engine) mutable {
      start(engine, [answer](Result<T> result) {
        const std::lock_guard guard(answer->mutex);
        answer->result.emplace(std::move(result));
        answer->arrived.notify_one();
      });
    });
    std::unique_lock guard(answer->mutex);
    const auto there = [&] { return answer->result.has_value(); };
    if (deadline == MonoTime::never()) {
      answer->arrived.wait(guard, there);
    } else if (!answer->arrived.wait_until(guard, steady(deadline), there)) {
      return fail(Errc::kTimeout,
                  "no answer before the deadline; it may still happen: repeat a submit with the same idempotency key");
    }
    return std::move(*answer->result);
  }

  Result<void> stop() {
    return call<void>(clock_.mono() + engine_->options().stop_within + std::chrono::seconds(5),
                      [](Engine& e, auto done) { e.stop(std::move(done)); });
  }

  MonoTime after(Duration wait) { return clock_.mono() + wait; }

 private:
  friend class ValidatorQueue;

  void wake() {
    {
      const std::lock_guard guard(mutex_);
      io_ready_ = true;
    }
    wakeup_.notify_one();
  }

  void run() {
    while (true) {
      std::vector<UniqueFunction<void(Engine&)>> work;
      {
        std::unique_lock guard(mutex_);
        const auto something = [&] { return ending_ || io_ready_ || !posted_.empty(); };
        const auto next = engine_->next_wakeup();
        if (next == MonoTime::never())
          wakeup_.wait(guard, something);
        else
          wakeup_.wait_until(guard, steady(next), something);
        if (ending_) return;
        io_ready_ = false;
        work.swap(posted_);
      }
      storage_->poll();
      for (auto& one : work) one(*engine_);
      if (clock_.mono() >= engine_->next_wakeup()) engine_->tick();
      // Only now: everything that came in this round shares one write.
      while (std::exchange(pump_wanted_, false)) engine_->pump();
    }
  }

  const std::filesystem::path directory_;
  RecoveryReport recovery_;
  DirectoryLock lock_;
  UniqueFunction<void(std::string_view)> warn_;
  SystemClock clock_;
  crypto::SystemRng rng_;
  std::unique_ptr<FileStorage> storage_;
  std::unique_ptr<Engine> engine_;
  std::mutex mutex_;
  std::condition_variable wakeup_;
  std::vector<UniqueFunction<void(Engine&)>> posted_;
  bool io_ready_ = false, ending_ = false;
  bool pump_wanted_ = false;  ///< the owner's thread only
  std::thread thread_;
};

ValidatorQueue::ValidatorQueue(std::unique_ptr<Owner> owner) : owner_(std::move(owner)) {}
ValidatorQueue::~ValidatorQueue() = default;

Result<std::unique_ptr<ValidatorQueue>> ValidatorQueue::open(std::filesystem::path directory, Options options) {
  return open(std::move(directory), std::move(options), Files());
}

Result<std::unique_ptr<ValidatorQueue>> ValidatorQueue::open(std::filesystem::path directory, Options options,
                                                             Files files) {
  if (auto made = make_directories(directory); !made) return fail(std::move(made.error()));
  SystemClock clock;
  auto lock = DirectoryLock::acquire(directory, options.name, clock.wall());
  if (!lock) return fail(std::move(lock.error()));
  auto owner = std::make_unique<Owner>(std::move(directory), std::move(*lock), std::move(files.warn));
  if (auto started = owner->start(std::move(options), files); !started) return fail(std::move(started.error()));
  return std::unique_ptr<ValidatorQueue>(new ValidatorQueue(std::move(owner)));
}

namespace {
Result<Submission> submission_of(const Message& message, SubmitOptions options, std::optional<Durability> durability) {
  auto body = encode(message);
  if (!body) return fail(std::move(body.error()));
  if (durability) options.durability = durability;
  return Submission{std::move(*body), std::move(options)};
}
}  // namespace

Result<Submitted> ValidatorQueue::submit_sync(const Message& message, SubmitOptions options, Duration deadline) {
  auto submission = submission_of(message, std::move(options), Durability::kSync);
  if (!submission) return fail(std::move(submission.error()));
  return owner_->call<Submitted>(owner_->after(deadline), [s = std::move(*submission)](Engine& e, auto done) mutable {
    e.submit(std::move(s), std::move(done));
  });
}

Result<Submitted> ValidatorQueue::submit_async(const Message& message, SubmitOptions options, Duration deadline) {
  auto submission = submission_of(message, std::move(options), Durability::kAsync);
  if (!submission) return fail(std::move(submission.error()));
  return owner_->call<Submitted>(owner_->after(deadline), [s = std::move(*submission)](Engine& e, auto done) mutable {
    e.submit(std::move(s), std::move(done));
  });
}

Result<std::vector<Submitted>> ValidatorQueue::submit_batch(
    const std::vector<std::pair<Message, SubmitOptions>>& messages, Duration deadline) {
  std::vector<Submission> batch;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    auto one = submission_of(messages[i].first, messages[i].second, std::nullopt);
    if (!one) return fail(std::move(one.error()).in(fmt::format("messages[{}]", i)));
    batch.push_back(std::move(*one));
  }
  return owner_->call<std::vector<Submitted>>(
      owner_->after(deadline),
      [b = std::move(batch)](Engine& e, auto done) mutable { e.submit_batch(std::move(b), std::move(done)); });
}

Result<Leased> ValidatorQueue::submit_held(const Message& message, SubmitOptions options, Duration deadline) {
  auto submission = submission_of(message, std::move(options), Durability::kSync);
  if (!submission) return fail(std::move(submission.error()));
  return owner_->call<Leased>(owner_->after(deadline), [s = std::move(*submission)](Engine& e, auto done) mutable {
    e.submit_held(std::move(s), std::move(done));
  });
}

// The engine ends the wait; the caller's own deadline is behind it, for the write of the hand-out.
Result<std::optional<Taken>> ValidatorQueue::take(KindMask kinds, Duration wait) {
  const auto until_then = owner_->after(wait);
  return owner_->call<std::optional<Taken>>(until_then + kDeadline, [kinds, until_then](Engine& e, auto done) {
    e.take({kinds, until_then}, std::move(done));
  });
}

Result<std::vector<Leased>> ValidatorQueue::lease(std::uint32_t max, Duration duration, KindMask kinds, Duration wait) {
  const auto until_then = owner_->after(wait);
  return owner_->call<std::vector<Leased>>(until_then + kDeadline, [=](Engine& e, auto done) {
    e.lease({kinds, until_then}, max, duration, std::move(done));
  });
}

Result<LeaseOutcome> ValidatorQueue::ack(std::vector<LeaseId> leases, Duration deadline) {
  return owner_->call<LeaseOutcome>(owner_->after(deadline), [l = std::move(leases)](Engine& e, auto done) mutable {
    e.ack(std::move(l), std::move(done));
  });
}

Result<LeaseOutcome> ValidatorQueue::nack(std::vector<LeaseId> leases, std::optional<Duration> delay, std::string error,
                                          Duration deadline) {
  return owner_->call<LeaseOutcome>(
      owner_->after(deadline), [l = std::move(leases), delay, error = std::move(error)](Engine& e, auto done) mutable {
        e.nack(std::move(l), delay, std::move(error), std::move(done));
      });
}

Result<LeaseOutcome> ValidatorQueue::extend(std::vector<LeaseId> leases, Duration duration, Duration deadline) {
  return owner_->call<LeaseOutcome>(owner_->after(deadline), [l = std::move(leases), duration](Engine& e, auto done) {
    done(e.extend(l, duration));
  });
}

Result<LeaseOutcome> ValidatorQueue::hold(std::vector<LeaseId> leases, Duration deadline) {
  return owner_->call<LeaseOutcome>(owner_->after(deadline), [l = std::move(leases)](Engine& e, auto done) mutable {
    e.hold(std::move(l), std::move(done));
  });
}

Result<Depth> ValidatorQueue::depth() {
  return owner_->call<Depth>(owner_->after(kDeadline), [](Engine& e, auto done) { done(e.depth()); });
}

Result<Metrics> ValidatorQueue::metrics() {
  return owner_->call<Metrics>(owner_->after(kDeadline), [](Engine& e, auto done) { done(e.metrics()); });
}

Result<void> ValidatorQueue::compact_wal(Duration deadline) {
  return owner_->call<void>(owner_->after(deadline), [](Engine& e, auto done) { e.compact_wal(std::move(done)); });
}

Result<void> ValidatorQueue::stop() { return owner_->stop(); }
void ValidatorQueue::post(UniqueFunction<void(Engine&)> work) { owner_->post(std::move(work)); }
const RecoveryReport& ValidatorQueue::recovery() const { return owner_->recovery_; }
const std::filesystem::path& ValidatorQueue::directory() const { return owner_->directory_; }

SyncResult QppSyncSubmit::execute(ValidatorQueue& queue, const Message& message, SubmitOptions options) {
  auto result = queue.submit_sync(message, std::move(options));
  if (result && !result->persisted) {
    // A repeat of a key whose message was only in memory, and is gone: there is nothing left to make durable.
    result = fail(Errc::kExists,
                  "this idempotency key belongs to a message that was only in memory and has been handed out");
  }
  return SyncResult(std::move(result));
}

AsyncResult QppAsyncSubmit::execute(ValidatorQueue& queue, const Message& message, SubmitOptions options) {
  return AsyncResult(queue.submit_async(message, std::move(options)));
}

}  // namespace qh::queue
