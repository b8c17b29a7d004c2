// serve/http_session.h - one connection of an HTTP port. Private to serve/.
//
// A session waits for the socket to be readable, reads what is there, and goes as far as that comes. While a
// call is under way it keeps what comes and watches for the socket's end, so that a client which goes away ends
// its waits.
//
// Threads   the server's loop.
// Lifetime  kept by what it waits for; `host` is nullptr once the server is gone.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/ip/tcp.hpp>

#include "serve/http_request.h"
#include "serve/http_server.h"
#include "serve/http_service.h"
#include "serve/sessions.h"

namespace qh::serve {

class HttpSession;

/// What a session needs of its server.
struct SessionHost {
  const HttpServerSettings& settings;
  HttpService* service = nullptr;
  bool stopping = false;
  std::size_t buffered_bytes = 0;                        ///< of requests
  std::size_t unread_bytes = 0;                          ///< of answers that their reader has not taken
  std::list<std::shared_ptr<HttpSession>> waiting = {};  ///< each with a request that waits for room for its answer
  std::uint64_t nobody_gives_way_in = UINT64_MAX;        ///< a sweep that needs no other look
  Sessions<HttpSession> sessions;
};

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  using Clock = std::chrono::steady_clock;

  HttpSession(boost::asio::ip::tcp::socket socket, bool from_loopback, SessionHost& host);
  ~HttpSession();

  void start(Sessions<HttpSession>::Place self);
  /// Answers that it is too much, and ends.
  void refuse_crowd();
  /// Ends what has gone on for too long.
  void judge();
  /// Ends at once when nothing is under way, else behind its answer.
  void stop();
  /// Ends now.
  void close();
  void forget_host() { host_ = nullptr; }
  /// Ends one of them for one that comes; false: none may be ended. Who rests goes first, and of those who have not
  /// sent a whole request whoever has been at it the longest: a slow client has all the time that it takes to fill the
  /// port anew behind it.
  static bool make_place(SessionHost& host);

 private:
  /// In kWaiting a whole request waits for room for its answer; kHandling: it is carried out.
  enum class Phase : std::uint8_t { kIdle, kHeader, kBody, kWaiting, kHandling, kWriting, kLinger, kClosed };

  /// Its rank, and among those of one rank a time or a rate. Smaller is sooner.
  using Turn = std::pair<int, double>;
  std::optional<Turn> turn_of_reader(Clock::time_point now) const;
  std::optional<Turn> turn_to_give_way(Clock::time_point now) const;
  static bool answers_fit(const SessionHost& host);
  std::uint64_t held_bytes() const;
  void judge_wait();
  void enter(Phase phase);
  void watch();
  void on_readable();
  void watch_for_the_end();
  void hand_out_nothing();
  void go();
  bool read_more();
  void judge_head();
  bool judge_origin(const RequestHead& head);
  bool judge_request(const RequestHead& head);
  void answer_preflight(const RequestHead& head);
  bool answers_have_room();
  void handle();
  void wait_for_room();
  void judge_turn();
  void give_turn_later();
  void take_turn();
  void end_waiting();
  void refuse_waiting(const std::string& why);
  void carry_out();
  void on_answer(HttpAnswer answer);
  void write(const HttpAnswer& answer);
  void refuse(const HttpAnswer& answer);
  void refuse_line(int status, const std::string& why, std::string fields = {});
  void hand_over();
  void skip_request();
  void flush();
  void write_on();
  std::int64_t taken_bytes();
  void judge_reader(Clock::time_point now);
  void on_flushed();
  void linger();
  void count_buffer();

  boost::asio::ip::tcp::socket socket_;
  SessionHost* host_;
  Sessions<HttpSession>::Place self_;
  std::list<std::shared_ptr<HttpSession>>::iterator place_;  ///< while it waits for room
  RequestReader reader_;
  rpc::Caller caller_;
  std::string origin_;  ///< of the request at hand, allowed
  std::string out_;
  std::size_t sent_ = 0;
  std::int64_t sent_before_ = 0;  ///< what came before `out_`
  std::int64_t taken_ = 0;        ///< of all that, by the peer, when the deadline of its reading was renewed
  std::int64_t taken_first_ = 0;  ///< the same, when it began to wait for its reader
  std::size_t counted_bytes_ = 0, counted_answer_ = 0;
  HttpService::CallId call_ = 0;
  Clock::time_point since_;  ///< in this phase; a call that is under way has none
  Clock::time_point deadline_ = Clock::time_point::max();
  Phase phase_ = Phase::kIdle;
  bool from_loopback_;
  bool watching_ = false;
  bool peer_ended_ = false;  ///< it sends no more, and what it has sent is in the reader
  bool inside_handle_ = false;
  bool turn_comes_ = false;  ///< as soon as the loop has turned
  bool keep_alive_ = true;
  bool head_only_ = false;
  bool http_1_0_ = false;
  bool interim_ = false;  ///< what is being sent is 100 Continue
};

}  // namespace qh::serve
