// queue/no_clone.h - a value that can be had once.
//
// NoClone<T> can be moved, never copied; consume() gives the value and ends it. A second consume, or
// one on a moved-from object, is a compile error under Clang (-Wconsumed -Werror, as the compile-fail
// tests prove) and ends the process with a message in every build: handing the same message out twice
// is the one thing a queue may never do.
//
// Threads  a value.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <type_traits>
#include <utility>

#if defined(__clang__)
#define QH_CONSUMABLE(state) __attribute__((consumable(state)))
#define QH_CALLABLE_WHEN(...) __attribute__((callable_when(__VA_ARGS__)))
#define QH_SET_TYPESTATE(state) __attribute__((set_typestate(state)))
#define QH_RETURN_TYPESTATE(state) __attribute__((return_typestate(state)))
#else
#define QH_CONSUMABLE(state)
#define QH_CALLABLE_WHEN(...)
#define QH_SET_TYPESTATE(state)
#define QH_RETURN_TYPESTATE(state)
#endif

namespace qh::queue {

[[noreturn]] inline void consumed_twice(const char* what) {
  std::fprintf(stderr,
               "%s was consumed twice, or consumed after it was moved from: stopping, since a "
               "message that is handed out twice cannot be taken back\n",
               what);
  std::abort();
}

template <class T>
class QH_CONSUMABLE(unconsumed) NoClone {
  static_assert(std::is_nothrow_move_constructible_v<T>, "a message must not be lost half way into a move");

 public:
  QH_RETURN_TYPESTATE(unconsumed)
  explicit NoClone(T value) : value_(std::move(value)) {}

  QH_RETURN_TYPESTATE(unconsumed)
  NoClone(NoClone&& other) noexcept : value_(std::move(other.value_)) { other.value_.reset(); }
  QH_RETURN_TYPESTATE(unconsumed)
  NoClone& operator=(NoClone&& other) noexcept {
    if (this == &other) return *this;
    value_ = std::move(other.value_);
    other.value_.reset();
    return *this;
  }
  NoClone(const NoClone&) = delete;
  NoClone& operator=(const NoClone&) = delete;
  ~NoClone() = default;

  /// The value, once.
  QH_CALLABLE_WHEN("unconsumed") QH_SET_TYPESTATE(consumed) T consume() && {
    if (!value_) consumed_twice("a NoClone value");
    T value = std::move(*value_);
    value_.reset();
    return value;
  }

  /// A look at the value, before it is consumed.
  QH_CALLABLE_WHEN("unconsumed")
  const T& operator*() const {
    if (!value_) consumed_twice("a NoClone value");
    return *value_;
  }
  QH_CALLABLE_WHEN("unconsumed")
  const T* operator->() const { return &**this; }

 private:
  std::optional<T> value_;
};

}  // namespace qh::queue
