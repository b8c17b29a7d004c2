#include "serve/binary_session.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace qh::serve {
namespace {

constexpr std::size_t kKeptAnswerBytes = 64U << 10;
/// Behind so many reads of one connection, each of so much or the rest of a frame, the others have their turn.
constexpr int kReadsAtOnce = 2;
constexpr std::size_t kReadBytes = 16U << 10;
constexpr int kScrapReadsAtOnce = 16;

}  // namespace

BinarySession::BinarySession(UniqueFd socket, BinaryHost& host) : socket_(std::move(socket)), host_(&host) {}

BinarySession::~BinarySession() = default;

void BinarySession::start(Sessions<BinarySession>::Place self) {
  self_ = self;
  // The link is ours, so it calls us only while we are.
  link_.emplace(*host_->dispatcher, rpc::Caller{.name = host_->settings.name, .roles = rpc::RoleSet::all()},
                [this] { answered(); });
  resize_buffer(kSmallBuffer);
  enter(Phase::kGreeting);
  const auto place = host_->sockets.add(socket_.get(), *this);
  if (!place) {
    phase_ = Phase::kClosed;
    link_.reset();
    return host_->sessions.leave(self_);
  }
  place_ = *place;
}

void BinarySession::answered() {
  if (!open() || std::exchange(listed_, true)) return;
  host_->answered.push_back(shared_from_this());
  host_->flush_later();
}

void BinarySession::count_answers() {
  const auto now = sending_.size() + link_->out().size();
  host_->answer_bytes += now - counted_;  // wraps round and back where it is less
  counted_ = now;
}

// -- Time --------------------------------------------------------------------------------------------

void BinarySession::enter(Phase phase) {
  phase_ = phase;
  const auto& bounds = host_->settings.bounds;
  Duration within = bounds.idle_within;
  if (phase == Phase::kGreeting) within = bounds.preface_within;
  if (phase == Phase::kPartial) within = bounds.frame_within;
  if (phase == Phase::kWriting) {
    within = bounds.write_within;
    writing_since_ = unread_since_ = host_->sessions.now();
    taken_ = 0;
    had_large_ = true;
    host_->sessions.to_the_end(self_);  // behind those that were read, when there is room for one again
  }
  if (phase == Phase::kLinger) within = bounds.linger;
  deadline_ = phase == Phase::kBusy ? UINT64_MAX : host_->sessions.after(within);
}

/// What the connection is at, once all is done that can be done now.
void BinarySession::settle() {
  if (phase_ == Phase::kWriting || phase_ == Phase::kLinger || phase_ == Phase::kClosed) return;
  if (link_->open_calls() != 0 || link_->full()) return enter(Phase::kBusy);  // the calls' own bounds hold
  const bool waits = held_up_ == HeldUp::kByAnswers && filled_ != 0;  // for the turn of what has come before the end
  if (peer_ended_ && link_->out().empty() && !waits) return close();
  const auto now = filled_ == 0 ? Phase::kIdle : Phase::kPartial;
  if (phase_ != now && phase_ != Phase::kGreeting) enter(now);  // a byte more buys no time
}

void BinarySession::judge() {
  if (!open()) return;
  const bool in_turn = phase_ != Phase::kWriting;
  if (!in_turn) {
    write_rest();  // the system tells of room only when there is much; and calls may have been answered meanwhile
    if (open()) (void)answers_have_room();
    if (!open()) return;
  } else {
    const auto held_up = std::exchange(held_up_, HeldUp::kNot);
    if (held_up != HeldUp::kNot && deadline_ != UINT64_MAX) ++deadline_;
    // Those that wait for the room of frames have that room: one of them has to give way.
    if (held_up == HeldUp::kByAnswers) ++large_since_;
  }
  if (host_->sessions.now() >= deadline_) return close();
  if (phase_ != Phase::kWriting && phase_ != Phase::kLinger && (readable_ || filled_ != 0)) go_on(in_turn);
}

// -- Reading -----------------------------------------------------------------------------------------

bool BinarySession::over_load() const {
  const auto& bounds = host_->settings.bounds;
  return host_->answer_bytes > bounds.buffered_bytes;
}

void BinarySession::on_ready(std::uint32_t events) {
  const auto keep = shared_from_this();
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) see_the_end();
  if ((events & EPOLLIN) != 0 || ends_) readable_ = true;
  if (phase_ == Phase::kLinger) return discard();
  if (phase_ == Phase::kWriting && (events & EPOLLOUT) != 0) return write_rest();
  if (!had_its_share_) go_on();
}

/// It may still read, or be gone: what it asked for is answered, but nothing waits any more. For what stood behind
/// calls that filled the link, or was not read for want of room, time has passed since it was asked, so nothing is
/// handed out.
void BinarySession::see_the_end() {
  if (std::exchange(ends_, true)) return;
  if (link_->full() || held_up_ == HeldUp::kByAnswers) link_->hand_out_no_more();
  link_->abandon();
}

/// Takes what has come whole, as far as there is room for the answers, and reads on.
void BinarySession::go_on(bool in_turn) {
  for (int reads = 0; open() && phase_ != Phase::kWriting && phase_ != Phase::kLinger; ++reads) {
    if (!answers_have_room() || (!in_turn && others_wait())) return wait_for_room();
    take_requests();
    if (!open()) return;
    if (link_->ended()) return settle();
    if (link_->full()) look_ahead();
    if (reads == kReadsAtOnce && readable_) {
      had_its_share_ = true;
      answered();  // it is its turn again behind the next flush
    }
    if (reads == kReadsAtOnce || !read_some()) return settle();
  }
}

/// The next sweep asks again. Meanwhile nothing is taken, but a cancel or the end of the peer ends waits: what fits
/// into the usual buffer is read.
void BinarySession::wait_for_room() {
  held_up_ = HeldUp::kByAnswers;
  host_->held_up_in = host_->sessions.now();
  if (asks_for_little()) host_->sessions.to_the_front(self_);
  while (link_->open_calls() != 0 && readable_ && !peer_ended_ && filled_ < kLargeBuffer) {
    if (filled_ == in_.size()) resize_buffer(kLargeBuffer);
    filled_ += receive(in_.data() + filled_, in_.size() - filled_);
    if (!open()) return;
  }
  if (peer_ended_) see_the_end();
  if (ends_) link_->hand_out_no_more();
  if (link_->open_calls() != 0) look_ahead();
  settle();
}

/// While nothing has a turn. Where there is no room to read on, the end could not be seen: the waits end there.
void BinarySession::look_ahead() {
  looked_at_ = link_->cancel_ahead(ByteView(in_.data(), filled_), looked_at_);
  if (filled_ == in_.size() && filled_ >= kLargeBuffer) link_->abandon();
}

void BinarySession::take_requests() {
  if (filled_ != 0) {
    const auto taken = link_->take(ByteView(in_.data(), filled_));
    if (!open()) return;
    // What it had to grow by may be as much again, which nobody counts.
    if (link_->out().size() > kKeptAnswerBytes) link_->out().shrink_to_fit();
    count_answers();
    filled_ -= taken;
    looked_at_ -= std::min(looked_at_, taken);
    if (taken != 0) phase_ = Phase::kBusy;  // what begins behind it has its whole time
    if (filled_ != 0 && taken != 0) std::memmove(in_.data(), in_.data() + taken, filled_);
    if (filled_ == 0 && in_.size() > kLargeBuffer) resize_buffer(kLargeBuffer);
  }
  if (ends_) link_->abandon();
}

/// False: nothing has come, or it ends.
bool BinarySession::read_some() {
  if (!readable_ || peer_ended_ || !make_room()) return false;
  const auto before = filled_;
  do {
    const auto end =
        std::max(filled_ + kReadBytes, filled_ == 0 ? 0 : rpc::BinaryLink::wanted(ByteView(in_.data(), filled_)));
    filled_ += receive(in_.data() + filled_, std::min(end, in_.size()) - filled_);
    if (!open()) return false;
    crowded_ = crowded_ || filled_ == in_.size();
    // The rest of a large frame, for which the buffer grows as it comes.
  } while (filled_ == in_.size() && filled_ >= kLargeBuffer && readable_ && make_room());
  if (!open()) return false;
  if (peer_ended_) see_the_end();
  return filled_ != before;
}

/// An edge is told once, so it is read until there is less than there is room for.
std::size_t BinarySession::receive(std::byte* into, std::size_t room) {
  ssize_t got = 0;
  do got = ::recv(socket_.get(), into, room, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) {
    readable_ = false;
    if (errno != EAGAIN) close();
    return 0;
  }
  peer_ended_ = got == 0;
  readable_ = !peer_ended_ && (ends_ || static_cast<std::size_t>(got) == room);
  return static_cast<std::size_t>(got);
}

/// What comes behind the last word is not looked at.
void BinarySession::discard() {
  std::array<std::byte, 65536> scrap;
  for (int reads = 0; open() && readable_ && !peer_ended_ && reads < kScrapReadsAtOnce; ++reads)
    receive(scrap.data(), scrap.size());
  if (open() && peer_ended_) close();
}

/// For more of the frame that has begun, at least. False: not now, or it gave way. What a frame says of its length is
/// not believed before it has come: it gets twice what is there.
bool BinarySession::make_room() {
  const auto wanted = filled_ == 0 ? 1 : rpc::BinaryLink::wanted(ByteView(in_.data(), filled_));
  if ((crowded_ || wanted > in_.size()) && in_.size() < kLargeBuffer) resize_buffer(kLargeBuffer);
  if (wanted <= in_.size()) return filled_ < in_.size();  // whole ones may stand there until the link has room
  if (filled_ < in_.size()) return true;
  const auto larger = std::min(wanted, 2 * in_.size());
  if (!frames_have_room(larger - in_.size())) {
    held_up_ = HeldUp::kByFrames;
    return false;
  }
  if (in_.size() == kLargeBuffer) large_since_ = host_->sessions.now();
  resize_buffer(larger);
  return true;
}

void BinarySession::resize_buffer(std::size_t bytes) {
  host_->buffered_bytes += shared_bytes(bytes);
  host_->buffered_bytes -= shared_bytes(in_.size());
  if (bytes < in_.size()) in_ = Bytes();
  in_.reserve(bytes);  // or it would take room for twice what is there
  in_.resize(bytes);
}

/// What a buffer takes of the room that all connections share.
std::size_t BinarySession::shared_bytes(std::size_t bytes) { return bytes - std::min(bytes, kLargeBuffer); }

bool BinarySession::half_a_frame() const {
  return filled_ != 0 && filled_ < rpc::BinaryLink::wanted(ByteView(in_.data(), filled_));
}

// -- Answering ---------------------------------------------------------------------------------------

/// Most answers fit into the socket's buffer, and then nothing is waited for.
void BinarySession::flush() {
  listed_ = had_its_share_ = false;
  if (!open() || phase_ == Phase::kWriting || phase_ == Phase::kLinger) return;
  auto& out = link_->out();
  if (!out.empty()) {
    const auto sent = send(out);
    if (!sent) return close();
    if (*sent == out.size()) {
      had_large_ = false;
      at_once_bytes_ += *sent;
      out.clear();
    } else {
      sending_ = std::exchange(out, {});
      sent_ = *sent;
    }
    if (out.capacity() > kKeptAnswerBytes) out = Bytes();  // {} would empty it and keep its memory
    count_answers();
    if (!sending_.empty()) return enter(Phase::kWriting);
  }
  if (link_->ended()) return link_->open_calls() == 0 ? linger() : settle();
  go_on();
}

/// How many of them the socket takes. Nothing: it is broken.
std::optional<std::size_t> BinarySession::send(ByteView bytes) {
  ssize_t sent = 0;
  do sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent >= 0) return static_cast<std::size_t>(sent);
  return errno == EAGAIN ? std::optional<std::size_t>(0) : std::nullopt;
}

void BinarySession::write_rest() {
  const auto sent = send(ByteView(sending_).subspan(sent_));
  if (!sent) return close();
  sent_ += *sent;
  taken_ += *sent;
  if (sent_ == sending_.size()) {
    sending_ = Bytes();  // gives its memory back, as {} would not
    sent_ = 0;
  }
  count_answers();
  if (sending_.empty()) {
    enter(Phase::kBusy);
    return flush();
  }
  if (taken_ < kProgressBytes) return;
  taken_ = 0;
  unread_since_ = host_->sessions.now();
  deadline_ = host_->sessions.after(host_->settings.bounds.write_within);
}

/// The peer reads our last word before it sees the end, also while it still sends.
void BinarySession::linger() {
  if (::shutdown(socket_.get(), SHUT_WR) != 0) return close();
  enter(Phase::kLinger);
  filled_ = looked_at_ = 0;
  discard();
}

void BinarySession::stop() {
  flush();
  if (open() && phase_ != Phase::kWriting && link_->open_calls() == 0) close();
}

void BinarySession::close() {
  if (std::exchange(phase_, Phase::kClosed) == Phase::kClosed) return;
  if (host_ == nullptr) return;
  const auto keep = shared_from_this();
  host_->sockets.remove(place_);
  socket_ = {};
  link_.reset();
  host_->buffered_bytes -= shared_bytes(in_.size());
  host_->answer_bytes -= counted_;
  host_->sessions.leave(self_);
}

void BinarySession::forget_host() {
  link_.reset();
  host_ = nullptr;
}

}  // namespace qh::serve
