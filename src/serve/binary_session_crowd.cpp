// A binary port whose unread answers, or whose half requests, are more than it has room for.
#include <algorithm>
#include <utility>

#include "rpc/frame.h"
#include "serve/binary_session.h"

namespace qh::serve {
namespace {

/// Who takes its answers steadily has so many times as long as who does not.
constexpr std::uint64_t kSteadyTimes = 2;

}  // namespace

std::optional<BinarySession::Turn> BinarySession::turn_of_answers() const {
  if (phase_ != Phase::kWriting) return std::nullopt;
  const auto now = host_->sessions.now();
  const auto grace = host_->sessions.in_sweeps(host_->settings.bounds.gives_way_after);
  if (now - unread_since_ >= grace) return Turn{0, unread_since_};
  if (now - writing_since_ >= kSteadyTimes * grace) return Turn{1, writing_since_};
  return std::nullopt;
}

/// A whole request that waits for its turn is not meant, but it has none behind an answer that nobody reads.
std::optional<BinarySession::Turn> BinarySession::turn_of_frame() const {
  if (in_.size() <= kLargeBuffer) return std::nullopt;
  const auto grace = host_->sessions.in_sweeps(host_->settings.bounds.gives_way_after);
  if (host_->sessions.now() - large_since_ < grace) return std::nullopt;
  const bool may = phase_ == Phase::kWriting ? turn_of_answers().has_value() : half_a_frame();
  return may ? std::optional(Turn{0, large_since_}) : std::nullopt;
}

/// It has had answers, and the last of them fitted into the socket's buffer.
bool BinarySession::asks_for_little() const { return !had_large_ && at_once_bytes_ > rpc::binary::kPrefaceBytes; }

/// For room that an answer of this one may just have given back: in the next sweep they come first.
bool BinarySession::others_wait() const { return !asks_for_little() && host_->held_up_in == host_->sessions.now(); }

/// Those that may give way, in their order.
BinarySession::Turns BinarySession::turns(TurnOf turn_of) const {
  Turns all;
  for (const auto& session : host_->sessions.list()) {
    if (const auto turn = (session.get()->*turn_of)()) all.emplace_back(*turn, session);
  }
  std::ranges::sort(all, {}, &Turns::value_type::first);
  return all;
}

/// False: they have none, though whoever may give way has done so. Nobody else may before the next sweep.
bool BinarySession::answers_have_room() {
  if (!over_load()) return true;
  const auto now = host_->sessions.now();
  if (host_->nobody_stalls_in == now) return false;
  for (const auto& [turn, session] : turns(&BinarySession::turn_of_answers)) {
    if (!over_load()) return true;
    session->close();
  }
  if (!over_load()) return true;
  host_->nobody_stalls_in = now;
  return false;
}

/// The same for half requests. Calls under way end first where they wait, and are not cut off where they do not.
bool BinarySession::frames_have_room(std::size_t more) {
  const auto fits = [&] { return host_->buffered_bytes + more <= host_->settings.bounds.buffered_bytes; };
  if (fits()) return true;
  const auto now = host_->sessions.now();
  if (host_->nobody_delays_in == now) return false;
  for (const auto& [turn, session] : turns(&BinarySession::turn_of_frame)) {
    if (fits()) return open();
    if (session->phase_ != Phase::kWriting && session->link_->open_calls() != 0)
      session->link_->abandon();
    else
      session->close();
  }
  if (fits()) return open();
  host_->nobody_delays_in = now;
  return false;
}

}  // namespace qh::serve
