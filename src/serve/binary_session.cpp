#include "serve/binary_session.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <boost/asio/write.hpp>

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// A connection that asks one thing at a time needs no more; one that fills it gets the larger one.
constexpr std::size_t kSmallBuffer = 4U << 10, kLargeBuffer = 64U << 10;
constexpr std::size_t kKeptAnswerBytes = 256U << 10;

}  // namespace

BinarySession::BinarySession(asio::ip::tcp::socket socket, BinaryHost& host)
    : socket_(std::move(socket)), host_(&host) {}

BinarySession::~BinarySession() = default;

void BinarySession::start(Sessions<BinarySession>::Place self) {
  self_ = self;
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  // The link is ours, so it calls us only while we are.
  link_.emplace(*host_->dispatcher, rpc::Caller{.name = host_->settings.name, .roles = rpc::RoleSet::all()},
                [this] { answered(); });
  resize_buffer(kSmallBuffer);
  enter(Phase::kGreeting);
  read();
}

void BinarySession::answered() {
  if (!open()) return;
  host_->answered.push_back(shared_from_this());
  if (host_->answered.size() == 1) host_->flush_later();
}

// -- Time --------------------------------------------------------------------------------------------

void BinarySession::enter(Phase phase) {
  phase_ = phase;
  const auto& bounds = host_->settings.bounds;
  Duration within = bounds.idle_within;
  if (phase == Phase::kGreeting) within = bounds.preface_within;
  if (phase == Phase::kPartial) within = bounds.frame_within;
  if (phase == Phase::kWriting) within = bounds.write_within;
  if (phase == Phase::kLinger) within = bounds.linger;
  deadline_ = phase == Phase::kBusy ? UINT64_MAX : host_->sessions.after(within);
}

/// What the connection is at, once all is done that can be done now.
void BinarySession::settle() {
  if (phase_ == Phase::kWriting || phase_ == Phase::kLinger || phase_ == Phase::kClosed) return;
  if (link_->open_calls() != 0 || link_->full()) return enter(Phase::kBusy);  // the calls' own bounds hold
  if (peer_ended_ && link_->out().empty()) return close();
  if (filled_ == 0) return enter(Phase::kIdle);
  if (phase_ != Phase::kPartial && phase_ != Phase::kGreeting) enter(Phase::kPartial);  // a byte more buys no time
}

void BinarySession::judge() {
  if (!open()) return;
  if (host_->sessions.now() >= deadline_) return close();
  if (phase_ != Phase::kWriting && phase_ != Phase::kLinger && !reading_) drive();
}

// -- Reading -----------------------------------------------------------------------------------------

bool BinarySession::over_load() const {
  const auto& bounds = host_->settings.bounds;
  return host_->unread_bytes > bounds.buffered_bytes;
}

void BinarySession::read() {
  if (reading_ || peer_ended_ || !make_room()) return;
  reading_ = true;
  socket_.async_read_some(asio::buffer(in_.data() + filled_, in_.size() - filled_),
                          [self = shared_from_this()](const error_code& error, std::size_t bytes) {
                            self->reading_ = false;
                            if (!self->open()) return;
                            if (error == asio::error::eof) return self->on_end();
                            if (error) return self->close();
                            self->on_read(bytes);
                          });
}

void BinarySession::on_read(std::size_t bytes) {
  if (phase_ == Phase::kLinger) return read();  // what comes behind the last word is not looked at
  filled_ += bytes;
  crowded_ = crowded_ || filled_ == in_.size();
  drive();
}

/// It may still read: what it asked for is answered, but nothing waits any more.
void BinarySession::on_end() {
  peer_ended_ = true;
  if (phase_ == Phase::kLinger) return close();
  link_->abandon();
  settle();
}

/// Takes what has come whole, as far as there is room for the answers, and reads on.
void BinarySession::drive() {
  if (phase_ == Phase::kWriting || phase_ == Phase::kLinger) return;
  if (over_load()) return settle();  // the next sweep asks again
  if (filled_ != 0) {
    const auto taken = link_->take(ByteView(in_.data(), filled_));
    if (!open()) return;
    filled_ -= taken;
    if (taken != 0) phase_ = Phase::kBusy;  // what begins behind it has its whole time
    if (filled_ != 0 && taken != 0) std::memmove(in_.data(), in_.data() + taken, filled_);
  }
  if (peer_ended_) link_->abandon();
  settle();
  if (open() && !link_->ended() && !link_->full()) read();
}

/// For the rest of the frame that has begun, at least. False: not now.
bool BinarySession::make_room() {
  const auto wanted = filled_ == 0 ? 1 : rpc::BinaryLink::wanted(ByteView(in_.data(), filled_));
  if (filled_ == 0 && in_.size() > kLargeBuffer) resize_buffer(kLargeBuffer);
  if (crowded_ && in_.size() < kLargeBuffer) resize_buffer(kLargeBuffer);
  if (wanted <= in_.size() && filled_ < in_.size()) return true;
  if (host_->buffered_bytes + wanted > host_->settings.bounds.buffered_bytes) return false;
  resize_buffer(std::max(wanted, kLargeBuffer));
  return true;
}

void BinarySession::resize_buffer(std::size_t bytes) {
  host_->buffered_bytes += bytes;
  host_->buffered_bytes -= in_.size();
  if (bytes < in_.size()) in_ = Bytes();
  in_.resize(bytes);
}

// -- Answering ---------------------------------------------------------------------------------------

/// Most answers fit into the socket's buffer, and then no handler is queued for them.
void BinarySession::flush() {
  if (!open() || phase_ == Phase::kWriting || phase_ == Phase::kLinger) return;
  auto& out = link_->out();
  error_code error;
  const auto sent = socket_.write_some(asio::buffer(out.data(), out.size()), error);
  if (error && error != asio::error::would_block) return close();
  if (sent != out.size()) {
    sending_ = std::exchange(out, {});
    sending_.erase(sending_.begin(), sending_.begin() + static_cast<std::ptrdiff_t>(sent));
    return write_rest();
  }
  if (out.capacity() > kKeptAnswerBytes) out = {};
  out.clear();
  if (link_->ended()) return linger();
  if (!reading_) return drive();  // it was over a bound
  settle();
}

void BinarySession::write_rest() {
  host_->unread_bytes += sending_.size();
  enter(Phase::kWriting);
  asio::async_write(socket_, asio::buffer(sending_), [self = shared_from_this()](const error_code& error, std::size_t) {
    if (!self->open()) return;
    self->host_->unread_bytes -= self->sending_.size();
    self->sending_ = {};
    if (error) return self->close();
    self->enter(Phase::kBusy);
    if (!self->link_->out().empty() || self->link_->ended()) self->flush();
    if (self->open() && !self->reading_) self->drive();
  });
}

/// The peer reads our last word before it sees the end, also while it still sends.
void BinarySession::linger() {
  error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error) return close();
  enter(Phase::kLinger);
  filled_ = 0;
  read();
}

void BinarySession::stop() {
  flush();
  if (open() && phase_ != Phase::kWriting && link_->open_calls() == 0) close();
}

void BinarySession::close() {
  if (std::exchange(phase_, Phase::kClosed) == Phase::kClosed) return;
  error_code ignored;
  socket_.close(ignored);
  if (host_ == nullptr) return;
  const auto keep = shared_from_this();
  link_.reset();
  host_->buffered_bytes -= in_.size();
  host_->unread_bytes -= sending_.size();
  host_->sessions.leave(self_);
}

void BinarySession::forget_host() {
  link_.reset();
  host_ = nullptr;
}

}  // namespace qh::serve
