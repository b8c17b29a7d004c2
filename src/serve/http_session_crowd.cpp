// An HTTP port with more connections, or more unread answers, than it has room for.
#include <algorithm>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

#include "serve/http_reply.h"
#include "serve/http_session.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// Ranks of those that read an answer, behind all others.
constexpr int kStandsStill = 2, kReadsOn = 3;

double seconds(HttpSession::Clock::duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

/// Who has stood still for a while goes first, the longest first; then who reads on, the slowest first. What has just
/// come has no turn.
std::optional<HttpSession::Turn> HttpSession::turn_of_reader(Clock::time_point now) const {
  const auto& bounds = host_->settings.bounds;
  if (now - since_ < bounds.unread_within) return std::nullopt;
  const auto progress = deadline_ - bounds.write_within;
  if (now - progress >= bounds.unread_within) return Turn{kStandsStill, seconds(progress.time_since_epoch())};
  return Turn{kReadsOn, static_cast<double>(taken_ - taken_first_) / seconds(progress - since_)};
}

std::optional<HttpSession::Turn> HttpSession::turn_to_give_way(Clock::time_point now) const {
  const auto& bounds = host_->settings.bounds;
  const auto since = seconds(since_.time_since_epoch());
  switch (phase_) {
    case Phase::kIdle:
    case Phase::kLinger:
      // Who has just come has sent nothing that was read: among the idle ones it would be ended by the next to come.
      return Turn{now - since_ >= bounds.rested ? 0 : 1, since};
    case Phase::kHeader:
    case Phase::kBody:
      return Turn{1, since};
    case Phase::kWriting:
      return turn_of_reader(now);
    case Phase::kWaiting:
    case Phase::kHandling:
    case Phase::kClosed:
      break;
  }
  return std::nullopt;
}

bool HttpSession::make_place(SessionHost& host) {
  const auto now = Clock::now();
  std::optional<Turn> first;
  std::shared_ptr<HttpSession> who;
  for (const auto& session : host.sessions.list()) {
    const auto turn = session->turn_to_give_way(now);
    if (!turn || (first && *first <= *turn)) continue;
    first = turn;
    who = session;
  }
  if (who) who->close();
  return who != nullptr;
}

bool HttpSession::answers_fit(const SessionHost& host) {
  return host.unread_bytes + host.service->held_bytes() <= host.settings.bounds.buffered_bytes;
}

/// Of a batch whose other calls wait, where that is much: it would be held for as long as they wait.
std::uint64_t HttpSession::held_bytes() const {
  const auto bytes = phase_ == Phase::kHandling ? host_->service->held_bytes(call_) : 0;
  return bytes > kProgressBytes ? bytes : 0;
}

void HttpSession::judge_wait() {
  if (!answers_fit(*host_) && held_bytes() != 0) host_->service->abandon(call_);
}

/// Where there is none, readers give way in their turn, also those that read on: a few slow ones would keep all others
/// from being answered. But those not while what has just come, or comes when the next sweep ends its waits, is enough:
/// it may stand still, and has its turn soon, as no more comes meanwhile. And nobody in vain.
bool HttpSession::answers_have_room() {
  if (answers_fit(*host_)) return true;
  if (host_->nobody_gives_way_in == host_->sessions.now()) return false;
  const auto now = Clock::now();
  const auto over = host_->unread_bytes + host_->service->held_bytes() - host_->settings.bounds.buffered_bytes;
  std::uint64_t new_bytes = 0, still_bytes = 0, other_bytes = 0;
  std::vector<std::pair<Turn, std::shared_ptr<HttpSession>>> readers;
  for (const auto& session : host_->sessions.list()) {
    new_bytes += session->held_bytes();
    if (session->phase_ != Phase::kWriting) continue;
    const auto turn = session->turn_of_reader(now);
    auto& bytes = !turn ? new_bytes : turn->first == kStandsStill ? still_bytes : other_bytes;
    bytes += session->counted_answer_;
    if (turn) readers.emplace_back(*turn, session);
  }
  if (still_bytes < over && (new_bytes >= over || still_bytes + other_bytes < over)) {
    host_->nobody_gives_way_in = host_->sessions.now();
    return false;
  }
  std::ranges::sort(readers, {}, [](const auto& reader) { return reader.first; });
  for (const auto& [turn, session] : readers) {
    if (answers_fit(*host_)) break;
    session->close();
  }
  return true;
}

/// Whoever comes later waits behind it: what an answer gives back is not for the next request of its own connection.
void HttpSession::wait_for_room() {
  enter(Phase::kWaiting);
  place_ = host_->waiting.insert(host_->waiting.end(), shared_from_this());
  if (!peer_ended_) watch();
}

void HttpSession::judge_turn() {
  host_->waiting.front()->give_turn_later();
  if (Clock::now() < deadline_ || answers_fit(*host_)) return;
  refuse_waiting("too many large answers at once that are not taken yet");
  if (phase_ == Phase::kIdle) go();
}

/// Between two of them the loop turns, or readers could not read on while many turns are taken.
void HttpSession::give_turn_later() {
  if (std::exchange(turn_comes_, true)) return;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->turn_comes_ = false;
    if (self->phase_ != Phase::kWaiting || self->host_ == nullptr) return;
    const auto front = self->host_->waiting.front();  // self may have come anew
    front->take_turn();
  });
}

void HttpSession::take_turn() {
  if (!answers_have_room()) return;       // the next sweep asks again
  if (!peer_ended_) watch_for_the_end();  // it may have gone while others had their turns
  if (phase_ == Phase::kWaiting) {
    end_waiting();
    carry_out();
  }
  if (!host_->waiting.empty()) host_->waiting.front()->give_turn_later();
  if (phase_ == Phase::kIdle) go();
}

void HttpSession::end_waiting() {
  host_->waiting.erase(place_);
  enter(Phase::kHandling);
}

void HttpSession::refuse_waiting(const std::string& why) {
  end_waiting();
  refuse_line(503, why, "Retry-After: 1\r\n");
}

void HttpSession::refuse_crowd() {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  const auto bound = std::to_string(host_->settings.bounds.connections);
  write_reply(503, "too many connections: " + bound + " are open, and this port takes no more\n",
              {.keep_alive = false,
               .extra = "Retry-After: 1\r\n",
               .common = host_->service->common_fields(),
               .type = "text/plain; charset=utf-8"},
              out_);
  (void)socket_.write_some(asio::buffer(out_), ignored);
  char scrap[4096];
  (void)socket_.read_some(asio::buffer(scrap), ignored);  // unread bytes would turn our close into a reset
  socket_.close(ignored);
  phase_ = Phase::kClosed;
}

}  // namespace qh::serve
