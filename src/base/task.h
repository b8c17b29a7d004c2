// base/task.h - a lazy coroutine, and the bridge from completions to co_await.
//
// A state machine that is fed by completions reads best as a coroutine. Task<T> starts when it is
// awaited or by start(); it resumes its awaiter when it ends. No thread, no scheduler: a Task runs
// wherever the completion that it waits for is delivered.
//
// Lifetime  destroying a Task destroys its frame wherever it is suspended; the owner makes sure that
//           no completion can still arrive (Storage drops its own when it is destroyed).
// Errors    values (Result<T>). An exception (no memory left, or a bug) goes to who awaits the Task; from one that
//           nobody awaits it leaves whatever resumed it: the loop, whose supervisor starts anew. Such a Task is over.
// Threads   one owner.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/invariant.h"
#include "base/result.h"
#include "base/unique_function.h"

namespace qh {

template <class T>
class Task;

namespace detail {

/// Of a Task that nobody awaits, on its way to whatever resumed it. Thrown from unhandled_exception() it would leave
/// the frame as if it still waited (Clang 16): destroying it would destroy twice what it waited for.
inline thread_local std::exception_ptr unclaimed;

inline void rethrow_unclaimed() {
  if (unclaimed) std::rethrow_exception(std::exchange(unclaimed, nullptr));
}

struct TaskPromiseBase {
  std::coroutine_handle<> awaiter = std::noop_coroutine();
  bool awaited = false;
  std::exception_ptr exception;

  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> self) const noexcept {
      return self.promise().awaiter;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  Final final_suspend() const noexcept { return {}; }
  void unhandled_exception() { (awaited ? exception : unclaimed) = std::current_exception(); }
  void rethrow() const {
    if (exception) std::rethrow_exception(exception);
  }
};

template <class T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }
  T take() {
    rethrow();
    return std::move(*value);
  }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object();
  void return_void() const {}
  void take() const { rethrow(); }
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  /// Runs until the first suspension. For a Task that nobody awaits; the owner keeps it alive.
  void start() {
    INVARIANT(handle_ != nullptr, "an empty task was started");
    handle_.resume();
    detail::rethrow_unclaimed();
  }
  bool running() const { return handle_ && !handle_.done(); }
  /// The value, once running() is false after start().
  T result() {
    INVARIANT(handle_ && handle_.done(), "the task has not ended");
    return handle_.promise().take();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) noexcept {
    handle_.promise().awaiter = awaiter;
    handle_.promise().awaited = true;
    return handle_;
  }
  T await_resume() { return handle_.promise().take(); }

 private:
  Handle handle_ = nullptr;
};

namespace detail {
template <class T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}
}  // namespace detail

/// Awaits an operation that takes a UniqueFunction<void(T)>: `co_await until<T>([&](auto done) {...})`.
/// An operation that completes inside the call does not suspend, so loops do not grow the stack.
template <class T, class Start>
class Until {
 public:
  explicit Until(Start start) : start_(std::move(start)) {}
  Until(const Until&) = delete;
  Until& operator=(const Until&) = delete;

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> awaiter) {
    awaiter_ = awaiter;
    start_(UniqueFunction<void(T)>([this](T value) {
      value_.emplace(std::move(value));
      if (!suspended_) return;
      awaiter_.resume();
      detail::rethrow_unclaimed();
    }));
    suspended_ = !value_.has_value();
    return suspended_;
  }
  T await_resume() { return std::move(*value_); }

 private:
  Start start_;
  std::coroutine_handle<> awaiter_;
  std::optional<T> value_;
  bool suspended_ = false;
};

template <class T, class Start>
Until<T, Start> until(Start start) {
  return Until<T, Start>(std::move(start));
}

}  // namespace qh
