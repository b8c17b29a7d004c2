// serve/binary_session.h - one connection of the binary RPC. Private to serve/.
//
// One read takes as many requests as have come; the answers gather in the link until the server flushes, and go out by
// one write. While a write does not end nothing is read.
//
// Threads   the server's loop.
// Lifetime  the server's list keeps it; `host` is nullptr once the server is gone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/file_storage_file.h"
#include "rpc/binary_link.h"
#include "serve/binary_server.h"
#include "serve/ready_sockets.h"
#include "serve/sessions.h"

namespace qh::serve {

class BinarySession;

/// What a session needs of its server.
struct BinaryHost {
  const BinaryServerSettings& settings;
  rpc::Dispatcher* dispatcher = nullptr;
  bool stopping = false;
  std::size_t buffered_bytes = 0;  ///< in requests, above what each connection may have
  std::size_t answer_bytes = 0;    ///< in answers that have not gone out
  std::uint64_t nobody_stalls_in = UINT64_MAX, nobody_delays_in = UINT64_MAX;  ///< sweeps that need no other look
  std::uint64_t held_up_in = UINT64_MAX;  ///< the last sweep in which somebody had to wait for room for answers
  ReadySockets sockets;
  Sessions<BinarySession> sessions;
  std::vector<std::shared_ptr<BinarySession>> answered = {};  ///< have something to send
  UniqueFunction<void()> flush_later = {};
};

class BinarySession final : public std::enable_shared_from_this<BinarySession>, private ReadySockets::Socket {
 public:
  /// `socket` is connected and does not block.
  BinarySession(UniqueFd socket, BinaryHost& host);
  ~BinarySession();

  void start(Sessions<BinarySession>::Place self);
  /// Sends what was answered.
  void flush();
  /// Ends what has gone on for too long, and goes on with what waited for room.
  void judge();
  /// Ends when nothing is under way any more.
  void stop();
  /// Ends now.
  void close();
  void forget_host();

 private:
  enum class Phase : std::uint8_t { kGreeting, kIdle, kPartial, kBusy, kWriting, kLinger, kClosed };
  enum class HeldUp : std::uint8_t { kNot, kByAnswers, kByFrames };
  /// Smaller is sooner.
  using Turn = std::pair<int, std::uint64_t>;
  using Turns = std::vector<std::pair<Turn, std::shared_ptr<BinarySession>>>;
  using TurnOf = std::optional<Turn> (BinarySession::*)() const;
  /// A connection that asks one thing at a time needs no more; one that fills it gets the larger one.
  static constexpr std::size_t kSmallBuffer = 4U << 10, kLargeBuffer = 64U << 10;

  void answered();
  void count_answers();
  void enter(Phase phase);
  void on_ready(std::uint32_t events) override;
  void see_the_end();
  void go_on(bool in_turn = false);
  void wait_for_room();
  void look_ahead();
  void take_requests();
  bool read_some();
  void discard();
  std::size_t receive(std::byte* into, std::size_t room);
  std::optional<std::size_t> send(ByteView bytes);
  bool make_room();
  static std::size_t shared_bytes(std::size_t bytes);
  void resize_buffer(std::size_t bytes);
  void settle();
  bool half_a_frame() const;
  void write_rest();
  void linger();
  bool open() const { return phase_ != Phase::kClosed && host_ != nullptr; }
  bool over_load() const;
  bool asks_for_little() const;
  bool others_wait() const;
  std::optional<Turn> turn_of_answers() const;
  std::optional<Turn> turn_of_frame() const;
  Turns turns(TurnOf turn_of) const;
  bool answers_have_room();
  bool frames_have_room(std::size_t more);

  UniqueFd socket_;
  BinaryHost* host_;
  Sessions<BinarySession>::Place self_;
  std::optional<rpc::BinaryLink> link_;
  Bytes in_;                         ///< its size is the room
  std::size_t filled_ = 0;           ///< bytes of requests in it
  std::size_t looked_at_ = 0;        ///< of those, where no cancel waits for its turn any more
  Bytes sending_;                    ///< what a write that waits takes from
  std::size_t sent_ = 0;             ///< of it; its memory stays until all has gone
  std::size_t counted_ = 0;          ///< of the host's answer_bytes
  std::uint64_t at_once_bytes_ = 0;  ///< of answers that no write has waited with
  // In sweeps of host_->sessions.
  std::uint64_t deadline_ = UINT64_MAX;
  std::uint64_t large_since_ = 0;    ///< the frame that is coming has had more than the usual buffer
  std::uint64_t writing_since_ = 0;  ///< what a write waits with
  std::uint64_t unread_since_ = 0;   ///< less than kProgressBytes of that have gone since
  std::size_t taken_ = 0;            ///< so many
  ReadySockets::Place place_ = 0;
  Phase phase_ = Phase::kGreeting;
  bool readable_ = true;           ///< as far as is known
  bool listed_ = false;            ///< stands in the host's list of the answered
  bool had_its_share_ = false;     ///< until the next flush
  bool ends_ = false;              ///< its end is known: what is to be read is there
  bool crowded_ = false;           ///< more has come at once than a small buffer holds
  bool had_large_ = false;         ///< a write has waited with the last answer
  bool peer_ended_ = false;        ///< it sends no more
  HeldUp held_up_ = HeldUp::kNot;  ///< it was not read for want of room, since the last sweep
};

}  // namespace qh::serve
