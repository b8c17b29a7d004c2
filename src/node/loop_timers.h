// node/loop_timers.h - the timers of rpc/ on a validator's loop. Private to node/.
//
// Threads  the loop's.
#pragma once

#include <unordered_map>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "rpc/dispatcher.h"

namespace qh::node {

class LoopTimers final : public rpc::Timers {
 public:
  explicit LoopTimers(boost::asio::io_context& loop) : loop_(loop) {}

  Id start(Duration delay, UniqueFunction<void()> fire) override {
    const Id id = ++last_;
    auto& timer = armed_.emplace(id, boost::asio::steady_timer(loop_, delay)).first->second;
    timer.async_wait([this, id, fire = std::move(fire)](const boost::system::error_code& error) mutable {
      if (error) return;
      armed_.erase(id);
      fire();
    });
    return id;
  }
  void cancel(Id id) override { armed_.erase(id); }

 private:
  boost::asio::io_context& loop_;
  Id last_ = 0;
  std::unordered_map<Id, boost::asio::steady_timer> armed_;
};

}  // namespace qh::node
