#include "serve/http_session.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <utility>

#include "serve/connection_socket.h"
#include "serve/http_framing.h"
#include "serve/http_reply.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::size_t kWriteBytes = 64U << 10;  ///< at a time, so that the others of the loop have their turns

}  // namespace

HttpSession::HttpSession(asio::ip::tcp::socket socket, bool from_loopback, SessionHost& host)
    : socket_(std::move(socket)), host_(&host), reader_(host.settings.bounds.request), from_loopback_(from_loopback) {}

HttpSession::~HttpSession() = default;

void HttpSession::start(Sessions<HttpSession>::Place self) {
  self_ = self;
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  count_buffer();
  enter(Phase::kIdle);
  watch();
}

void HttpSession::enter(Phase phase) {
  if (phase_ == phase && phase != Phase::kIdle) return;
  phase_ = phase;
  if (phase == Phase::kHandling) {
    deadline_ = Clock::time_point::max();  // the method's own bounds hold
    return;
  }
  const auto& bounds = host_->settings.bounds;
  Duration within = bounds.idle_within;
  if (phase == Phase::kHeader) within = bounds.header_within;
  if (phase == Phase::kBody) within = bounds.body_within;
  if (phase == Phase::kWaiting) within = bounds.room_within;
  if (phase == Phase::kWriting) within = bounds.write_within;
  if (phase == Phase::kLinger) within = bounds.linger;
  since_ = Clock::now();
  deadline_ = since_ + within;
  if (phase == Phase::kWriting) taken_ = taken_first_ = taken_bytes();
}

void HttpSession::judge() {
  if (phase_ == Phase::kWaiting) return judge_turn();
  if (phase_ == Phase::kHandling) return judge_wait();
  const auto now = Clock::now();
  if (phase_ == Phase::kWriting) judge_reader(now);
  if (now < deadline_) return;
  switch (phase_) {
    case Phase::kHeader:
      return refuse_line(408, "the header did not come in time");
    case Phase::kBody:
      return refuse_line(408, "the body did not come in time");
    default:
      return close();
  }
}

/// Progress buys time, and less than kProgressBytes at a time is none.
void HttpSession::judge_reader(Clock::time_point now) {
  const auto taken = taken_bytes();
  if (!is_progress(taken, taken_)) return;
  taken_ = taken;
  deadline_ = now + host_->settings.bounds.write_within;
}

/// What the peer's system has taken of all that was sent. Ours holds megabytes for a slow reader, and takes more only
/// when a good part of them has gone. Too little by what a write has sent whose end is not told yet.
std::int64_t HttpSession::taken_bytes() {
  int held = 0;
  (void)::ioctl(socket_.native_handle(), SIOCOUTQ, &held);
  return sent_before_ + static_cast<std::int64_t>(sent_) - held;
}

void HttpSession::count_buffer() {
  // Both wrap round and back when they shrink.
  host_->buffered_bytes += reader_.capacity() - counted_bytes_;
  counted_bytes_ = reader_.capacity();
  host_->unread_bytes += out_.size() - counted_answer_;
  counted_answer_ = out_.size();
}

// -- Reading -----------------------------------------------------------------------------------------

void HttpSession::watch() {
  if (watching_) return;
  watching_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this()](const error_code& error) {
    self->watching_ = false;
    if (self->phase_ == Phase::kClosed || self->host_ == nullptr) return;
    if (error) return self->close();
    self->on_readable();
  });
}

void HttpSession::on_readable() {
  switch (phase_) {
    case Phase::kWaiting:
    case Phase::kHandling:
      return watch_for_the_end();
    case Phase::kWriting:
      return;  // a write tells the end too, and go() reads on behind it
    case Phase::kLinger: {
      char scrap[4096];
      error_code error;
      (void)socket_.read_some(asio::buffer(scrap), error);
      return error && error != asio::error::would_block ? close() : watch();
    }
    default:
      if (read_more()) go();
  }
}

/// The peer's end ends the waits of its call. Bytes of next requests stand in front of that end, so they are kept
/// until their turn has come. Where there is no room for more, the end could not be seen: the waits end there too, and
/// nothing is handed out to what has waited for room for a while.
void HttpSession::watch_for_the_end() {
  const auto room = reader_.room();
  count_buffer();
  if (room.empty()) {
    if (phase_ != Phase::kWaiting || Clock::now() - since_ >= kSweepEvery) hand_out_nothing();
    return;
  }
  error_code error;
  const auto got = socket_.read_some(asio::buffer(room.data(), room.size()), error);
  if (error == asio::error::would_block) return watch();
  if (!error) {
    reader_.filled(got);
    return watch();
  }
  if (error != asio::error::eof) return close();
  // It may have shut down its half only and still read: what it asked for is answered, but nothing waits any more, and
  // the calls behind this one are handed nothing, since it may have gone.
  peer_ended_ = true;
  hand_out_nothing();
}

/// Of a call that waits to be carried out, too.
void HttpSession::hand_out_nothing() {
  caller_.gone = true;
  host_->service->abandon(call_);
}

/// False: the connection is at its end.
bool HttpSession::read_more() {
  const auto room = reader_.room();
  count_buffer();
  if (reader_.in_body() && host_->buffered_bytes > host_->settings.bounds.buffered_bytes) {
    refuse_line(503, "too many large requests at once", "Retry-After: 1\r\n");
    return false;
  }
  error_code error;
  const auto got = socket_.read_some(asio::buffer(room.data(), room.size()), error);
  if (error == asio::error::would_block) {
    watch();
    return false;
  }
  if (error || got == 0) {
    close();
    return false;
  }
  reader_.filled(got);
  return true;
}

void HttpSession::go() {
  while (phase_ == Phase::kIdle || phase_ == Phase::kHeader || phase_ == Phase::kBody) {
    switch (reader_.advance()) {
      case RequestReader::Progress::kNeedsMore:
        if (reader_.in_request()) enter(reader_.in_body() ? Phase::kBody : Phase::kHeader);
        if (peer_ended_) return close();
        return watch();
      case RequestReader::Progress::kHead:
        judge_head();
        break;
      case RequestReader::Progress::kRequest:
        handle();
        break;
      case RequestReader::Progress::kRefused:
        return refuse_line(reader_.refusal().status, reader_.refusal().why);
    }
  }
}

// -- Judging -----------------------------------------------------------------------------------------

/// Each judge answers for itself when it finds something, and says false.
void HttpSession::judge_head() {
  const auto& head = reader_.head();
  keep_alive_ = head.keep_alive && !host_->stopping;
  http_1_0_ = !head.http_1_1;
  head_only_ = head.method == "HEAD";
  origin_.clear();
  if (!judge_origin(head) || !judge_request(head)) return;
  if (!head.expects_continue || !head.has_body || reader_.advance() != RequestReader::Progress::kNeedsMore) return;
  interim_ = true;
  out_ += "HTTP/1.1 100 Continue\r\n\r\n";
  flush();
}

bool HttpSession::judge_origin(const RequestHead& head) {
  const auto& access = host_->settings.access;
  const auto host = head.field("Host");
  const auto authority = authority_of(head.target);
  // Without a Host it is HTTP/1.0, which no browser speaks.
  if ((host && !host_allowed(access, *host)) || (!authority.empty() && !host_allowed(access, authority))) {
    refuse_line(403, "this Host is not allowed here; --allow-host NAME allows it");
    return false;
  }
  const auto origin = head.field("Origin");
  if (!origin) return true;
  if (!origin_allowed(access, *origin)) {
    refuse_line(403, "this Origin is not allowed here; --allow-origin ORIGIN allows it");
    return false;
  }
  origin_ = *origin;
  return true;
}

bool HttpSession::judge_request(const RequestHead& head) {
  if (const auto refusal = host_->service->refuses_target(head)) {
    refuse(*refusal);
    return false;
  }
  if (is_preflight(head)) {
    answer_preflight(head);
    return false;
  }
  auto caller = identify(host_->settings.access, head.field("Authorization"), from_loopback_, host_->settings.name);
  if (const auto refusal = host_->service->refuses_caller(head, caller ? &*caller : nullptr)) {
    refuse(*refusal);
    return false;
  }
  caller_ = caller ? std::move(*caller) : rpc::Caller();
  caller_.gone = peer_ended_;
  return true;
}

void HttpSession::answer_preflight(const RequestHead& head) {
  const bool private_network = head.field("Access-Control-Request-Private-Network").has_value();
  write_preflight(private_network, {.keep_alive = keep_alive_, .origin = origin_}, out_);
  skip_request();
  flush();
}

// -- Answering ---------------------------------------------------------------------------------------

void HttpSession::handle() {
  if (host_->service->upgrades(reader_.head())) return hand_over();
  if (!host_->waiting.empty() || !answers_have_room()) return wait_for_room();
  enter(Phase::kHandling);
  carry_out();
}

void HttpSession::carry_out() {
  inside_handle_ = true;
  call_ =
      host_->service->handle(reader_.head(), reader_.body(), caller_,
                             [self = shared_from_this()](HttpAnswer answer) { self->on_answer(std::move(answer)); });
  if (peer_ended_ && phase_ == Phase::kHandling) host_->service->abandon(call_);
  inside_handle_ = false;
  if (phase_ == Phase::kHandling && !peer_ended_) watch();
}

/// The connection is another's from here on.
void HttpSession::hand_over() {
  auto socket = std::make_unique<Connection::Socket>(Connection::Socket{std::move(socket_)});
  host_->service->take(Connection(std::move(socket)), std::string(reader_.held()));
  close();
}

void HttpSession::write(const HttpAnswer& answer) {
  write_reply(answer.status, answer.body,
              {.keep_alive = keep_alive_,
               .http_1_0 = http_1_0_,
               .head_only = head_only_,
               .origin = origin_,
               .extra = answer.fields,
               .common = host_->service->common_fields(),
               .type = answer.type},
              out_);
}

void HttpSession::on_answer(HttpAnswer answer) {
  if (phase_ != Phase::kHandling || host_ == nullptr) return;
  call_ = 0;
  reader_.next();
  count_buffer();
  keep_alive_ = keep_alive_ && !host_->stopping;
  write(answer);
  flush();
  // From inside carry_out() go() is below us on the stack, or comes behind it.
  if (!inside_handle_ && phase_ == Phase::kIdle) go();
}

void HttpSession::refuse(const HttpAnswer& answer) {
  // Where the rest of a body stands in for a next request, nothing behind it can be believed.
  const bool clean = reader_.is_whole() || (reader_.in_body() && !reader_.head().has_body);
  keep_alive_ = keep_alive_ && clean;
  interim_ = false;
  write(answer);
  if (clean) skip_request();
  flush();
}

/// One that has no body, or is whole.
void HttpSession::skip_request() {
  (void)reader_.advance();
  reader_.next();
}

void HttpSession::refuse_line(int status, const std::string& why, std::string fields) {
  if (status == 413)
    return refuse(host_->service->too_large(why, host_->settings.bounds.request.body_bytes, reader_.refusal().size));
  refuse(text_answer(status, why, std::move(fields)));
}

/// Most answers fit into the socket's buffer, and then no handler is queued for them.
void HttpSession::flush() {
  error_code error;
  const auto sent = socket_.write_some(asio::buffer(out_.data() + sent_, out_.size() - sent_), error);
  if (error && error != asio::error::would_block) return close();
  sent_ += sent;
  if (sent_ == out_.size()) return on_flushed();
  count_buffer();
  enter(Phase::kWriting);
  write_on();
}

void HttpSession::write_on() {
  socket_.async_write_some(asio::buffer(out_.data() + sent_, std::min(out_.size() - sent_, kWriteBytes)),
                           [self = shared_from_this()](const error_code& failed, std::size_t sent) {
                             if (self->phase_ != Phase::kWriting || self->host_ == nullptr) return;
                             if (failed) return self->close();
                             self->sent_ += sent;
                             if (self->sent_ < self->out_.size()) return self->write_on();
                             self->on_flushed();
                             if (self->phase_ == Phase::kIdle || self->phase_ == Phase::kBody) self->go();
                           });
}

void HttpSession::on_flushed() {
  constexpr std::size_t kKeptBytes = 64U << 10;
  sent_before_ += static_cast<std::int64_t>(std::exchange(sent_, 0));
  if (out_.capacity() > kKeptBytes) std::string().swap(out_);  // an assignment would keep its memory
  out_.clear();
  count_buffer();
  if (!host_->waiting.empty()) host_->waiting.front()->give_turn_later();
  if (std::exchange(interim_, false)) return enter(Phase::kBody);
  if (!keep_alive_) return linger();
  // A refusal of what comes next is not of this request.
  head_only_ = http_1_0_ = false;
  origin_.clear();
  phase_ = Phase::kHandling;  // so that idle time is counted anew
  enter(Phase::kIdle);
}

/// The peer reads our answer before it sees the end, also while it still sends.
void HttpSession::linger() {
  error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error) return close();
  enter(Phase::kLinger);
  watch();
}

void HttpSession::stop() {
  keep_alive_ = false;
  if (phase_ == Phase::kWaiting) return refuse_waiting("stopping; nothing was done");
  if (phase_ == Phase::kIdle || phase_ == Phase::kHeader || phase_ == Phase::kBody || phase_ == Phase::kLinger) close();
}

void HttpSession::close() {
  if (phase_ == Phase::kClosed) return;
  const auto was = std::exchange(phase_, Phase::kClosed);
  error_code ignored;
  socket_.close(ignored);
  if (host_ == nullptr) return;
  const auto keep = shared_from_this();
  if (was == Phase::kHandling && call_ != 0) host_->service->abandon(call_);
  if (was == Phase::kWaiting) host_->waiting.erase(place_);
  host_->buffered_bytes -= counted_bytes_;
  host_->unread_bytes -= counted_answer_;
  if (!host_->waiting.empty()) host_->waiting.front()->give_turn_later();  // the turn may have been this one's
  host_->sessions.leave(self_);
}

}  // namespace qh::serve
