#include "base/file_storage_executor.h"

#include <pthread.h>

#include <exception>
#include <string>
#include <system_error>

#include "base/signals_blocked.h"

namespace qh {

Result<std::unique_ptr<DiskExecutor>> DiskExecutor::start(unsigned hot_threads, UniqueFunction<void()> wake) {
  std::unique_ptr<DiskExecutor> executor(new DiskExecutor(std::move(wake)));
  const SignalsBlocked inherited_by_the_threads;
  try {
    for (unsigned i = 0; i < hot_threads; ++i) {
      auto& thread = executor->threads_.emplace_back([self = executor.get()] { self->run_lane(self->hot_); });
      pthread_setname_np(thread.native_handle(), "qh-disk-hot");
    }
    auto& thread = executor->threads_.emplace_back([self = executor.get()] { self->run_lane(self->background_); });
    pthread_setname_np(thread.native_handle(), "qh-disk-back");
  } catch (const std::system_error& error) {
    return fail(Errc::kIo, "start a disk thread", error.code().value());
  }
  return executor;
}

DiskExecutor::~DiskExecutor() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  hot_.ready.notify_all();
  background_.ready.notify_all();
  for (auto& thread : threads_) thread.join();
}

void DiskExecutor::submit(Lane lane, std::unique_ptr<DiskOperation> operation) {
  Queue& queue = lane == Lane::kHot ? hot_ : background_;
  {
    const std::lock_guard lock(mutex_);
    queue.operations.push_back(std::move(operation));
  }
  queue.ready.notify_one();
}

std::deque<std::unique_ptr<DiskOperation>> DiskExecutor::take_completed() {
  const std::lock_guard lock(mutex_);
  return std::exchange(completed_, {});
}

bool DiskExecutor::wait(MonoTime deadline) {
  // MonoTime is CLOCK_MONOTONIC, which steady_clock is too.
  const std::chrono::steady_clock::time_point until{std::chrono::nanoseconds(deadline.ns)};
  const auto waiting = [this] { return !completed_.empty(); };
  std::unique_lock lock(mutex_);
  if (deadline == MonoTime::never()) {
    completed_ready_.wait(lock, waiting);
    return true;
  }
  return completed_ready_.wait_until(lock, until, waiting);
}

namespace {
/// There is nobody above us to whom an exception could go: no memory left, as a rule.
DiskOperation::Step run_one(DiskOperation& operation) {
  try {
    return operation.run();
  } catch (const std::exception& error) {
    return operation.fail(Error(Errc::kIo, std::string("a disk operation could not run: ") + error.what()));
  }
}
}  // namespace

void DiskExecutor::run_lane(Queue& queue) {
  std::unique_lock lock(mutex_);
  for (;;) {
    queue.ready.wait(lock, [&] { return stopping_ || !queue.operations.empty(); });
    if (stopping_) return;
    auto operation = std::move(queue.operations.front());
    queue.operations.pop_front();
    lock.unlock();
    const auto step = run_one(*operation);
    if (step == DiskOperation::Step::kAnswered) complete(std::move(operation));
    operation = step == DiskOperation::Step::kAgain ? std::move(operation) : nullptr;
    lock.lock();
    if (operation) queue.operations.push_back(std::move(operation));
  }
}

void DiskExecutor::complete(std::unique_ptr<DiskOperation> operation) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = completed_.empty();
    completed_.push_back(std::move(operation));
  }
  if (!first) return;
  completed_ready_.notify_one();
  if (wake_) wake_();
}

}  // namespace qh
