// serve/sessions.h - the connections of one port: one timer judges their time, and the end lets them go in a bounded
// one. Private to serve/.
//
// A Session has judge() (ends what has gone on for too long), stop() (ends when nothing is under way any more), close()
// (ends now) and forget_host(); when it ends it calls leave() once.
//
// Threads  its loop's.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/clock.h"
#include "base/unique_function.h"

namespace qh::serve {

/// A peer that takes so much of an answer, at once or little by little, makes progress: a byte now and then is none.
inline constexpr std::size_t kProgressBytes = 64U << 10;
/// From `before` to `taken`. What a write has sent is not counted until its end is told, so these may be below zero.
inline bool is_progress(std::int64_t taken, std::int64_t before) {
  return taken - before >= static_cast<std::int64_t>(kProgressBytes);
}

/// How late a deadline of a connection may be.
inline constexpr Duration kSweepEvery = std::chrono::milliseconds(250);

template <typename Session>
class Sessions {
 public:
  using List = std::list<std::shared_ptr<Session>>;
  using Place = typename List::iterator;

  explicit Sessions(boost::asio::io_context& loop) : loop_(loop), sweep_(loop), finish_(loop) {}
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  const List& list() const { return list_; }
  Place enter(std::shared_ptr<Session> session) { return list_.insert(list_.end(), std::move(session)); }
  /// It is judged behind all others from now on.
  void to_the_end(Place place) { list_.splice(list_.end(), list_, place); }
  /// It is judged before all others from now on.
  void to_the_front(Place place) { list_.splice(list_.begin(), list_, place); }
  void leave(Place place) {
    list_.erase(place);
    end_if_empty();
  }

  /// Begins to judge them, once each kSweepEvery.
  void sweep() {
    sweep_.expires_after(kSweepEvery);
    sweep_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      sweep();  // also behind a session that throws
      ++sweeps_;
      for (const auto& session : copy()) session->judge();
    });
  }
  /// A deadline that costs no clock, in sweeps: compare it with now().
  std::uint64_t after(Duration time) const { return sweeps_ + in_sweeps(time); }
  /// So many sweeps take that time, or up to one of them longer.
  static std::uint64_t in_sweeps(Duration time) { return static_cast<std::uint64_t>(time / kSweepEvery) + 1; }
  std::uint64_t now() const { return sweeps_; }

  /// Lets what is under way go out, then closes; calls `done` once, at most a second later.
  void finish(UniqueFunction<void()> done) {
    done_ = std::move(done);
    for (const auto& session : copy()) session->stop();
    finish_.expires_after(kFinishWithin);
    finish_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      for (const auto& session : copy()) session->close();
    });
    end_if_empty();
  }

  /// None of them calls its host from now on: before the host goes.
  void forget_host() {
    for (const auto& session : list_) session->forget_host();
  }

 private:
  static constexpr Duration kFinishWithin = std::chrono::seconds(1);

  /// Sessions leave the list while they are gone through.
  std::vector<std::shared_ptr<Session>> copy() const { return {list_.begin(), list_.end()}; }

  void end_if_empty() {
    if (!list_.empty() || !done_) return;
    finish_.cancel();
    sweep_.cancel();
    // Not from inside a session's own close().
    boost::asio::post(loop_, [done = std::exchange(done_, nullptr)]() mutable { done(); });
  }

  boost::asio::io_context& loop_;
  boost::asio::steady_timer sweep_, finish_;
  List list_;
  std::uint64_t sweeps_ = 0;
  UniqueFunction<void()> done_;
};

}  // namespace qh::serve
