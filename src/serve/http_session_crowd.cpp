// An HTTP port with more connections, or more unread answers, than it has room for.
#include <utility>

#include "serve/http_reply.h"
#include "serve/http_session.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

}  // namespace

std::shared_ptr<HttpSession> HttpSession::slowest_reader(const SessionHost& host) {
  const auto out_before = Clock::now() - host.settings.bounds.unread_within;
  std::shared_ptr<HttpSession> slowest;
  for (const auto& session : host.sessions.list()) {
    if (session->phase_ != Phase::kWriting || session->since_ > out_before) continue;
    if (!slowest || session->deadline_ < slowest->deadline_) slowest = session;
  }
  return slowest;
}

std::optional<HttpSession::Turn> HttpSession::turn_to_give_way(Clock::time_point now) const {
  const auto& bounds = host_->settings.bounds;
  switch (phase_) {
    case Phase::kIdle:
    case Phase::kLinger:
      // Who has just come has sent nothing that was read: among the idle ones it would be ended by the next to come.
      return Turn{now - since_ >= bounds.rested ? 0 : 1, since_};
    case Phase::kHeader:
    case Phase::kBody:
      return Turn{1, since_};
    case Phase::kWriting:
      if (now - since_ < bounds.unread_within) return std::nullopt;
      return Turn{2, deadline_};  // progress has moved it
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

/// Where there is none, whoever has made no progress with its answer the longest gives way. Not while that has hardly
/// been out, but then also who does read: a few slow readers would keep all others from being answered.
bool HttpSession::answers_have_room() {
  const auto& bounds = host_->settings.bounds;
  while (host_->unread_bytes + host_->service->held_bytes() > bounds.buffered_bytes) {
    const auto slowest = slowest_reader(*host_);
    if (!slowest) return false;
    slowest->close();
  }
  return true;
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
