#include "serve/ws_session.h"

#include <cstdint>
#include <string>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include "serve/connection_socket.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

class BeastSession final : public WsSession {
 public:
  BeastSession(asio::ip::tcp::socket socket, const WsBounds& bounds)
      : stream_(std::move(socket)), read_by_(stream_.get_executor()), read_within_(bounds.idle) {
    stream_.set_option(websocket::stream_base::timeout{bounds.handshake, bounds.idle, true});
    stream_.read_message_max(bounds.message_bytes);
    stream_.auto_fragment(false);
    stream_.control_callback([this](websocket::frame_type kind, boost::beast::string_view payload) {
      if (kind == websocket::frame_type::pong) on_pong({payload.data(), payload.size()});
    });
  }

  void run(std::string_view begin, Hooks hooks) override {
    hooks_ = std::move(hooks);
    stream_.async_accept(asio::buffer(begin), [self = self()](const error_code& error) {
      if (error) return self->end();
      self->open_ = true;
      if (self->hooks_.opened) self->hooks_.opened();
      self->read();
      if (self->stopping_) return self->close();
      self->write_if_due();
    });
  }

  void send(std::shared_ptr<const std::string> message, bool text) override {
    put({.message = std::move(message), .text = text});
  }

  void send_state(std::shared_ptr<const std::string> state) override {
    put({.message = std::move(state), .is_state = true});
  }

  void stop() override {
    if (std::exchange(stopping_, true)) return;
    pending_ = {};
    if (open_ && !on_its_way_.message) close();
  }

 private:
  struct Outgoing {
    std::shared_ptr<const std::string> message = nullptr;
    bool text = true;
    bool is_state = false;
  };

  std::shared_ptr<BeastSession> self() { return std::static_pointer_cast<BeastSession>(shared_from_this()); }

  void put(Outgoing next) {
    if (stopping_) return;
    pending_ = std::move(next);
    write_if_due();
  }

  void read() {
    reading_ = true;
    stream_.async_read(buffer_, [self = self()](const error_code& error, std::size_t) {
      self->reading_ = false;
      if (error) return self->end();
      self->on_message();
    });
  }

  void on_message() {
    const auto data = buffer_.cdata();
    if (hooks_.message) hooks_.message({static_cast<const char*>(data.data()), data.size()}, stream_.got_text());
    buffer_.consume(buffer_.size());
    read_on();
  }

  /// Not before what is to be sent has gone: the client's sending waits for its own reading.
  void read_on() {
    if (!ended_ && !reading_ && !on_its_way_.message) read();
  }

  void write_if_due() {
    if (open_ && pending_.message && !on_its_way_.message && !pinging_ && !unread_) write();
  }

  void write() {
    on_its_way_ = std::exchange(pending_, {});
    if (on_its_way_.is_state) wait_for_its_reader();
    stream_.text(on_its_way_.text);
    stream_.async_write(asio::buffer(*on_its_way_.message), [self = self()](const error_code& error, std::size_t) {
      const bool was_state = std::exchange(self->on_its_way_, {}).is_state;
      if (error) return self->end();
      if (self->stopping_) return self->close();
      if (was_state) self->ask_whether_it_is_read();
      self->write_if_due();
      self->read_on();
    });
  }

  void ask_whether_it_is_read() {
    unread_ = true;
    asked_again_ = false;
    ++states_;
    ping();
    wait_for_its_reader();
  }

  /// Whatever else it sends: who leaves a state unread would wait for the next one for ever.
  void wait_for_its_reader() {
    read_by_.expires_after(read_within_);
    read_by_.async_wait([self = self()](const error_code& error) {
      if (!error && self->read_by_.expiry() <= asio::steady_timer::clock_type::now()) self->end();
    });
  }

  void ping() {
    pinging_ = true;
    stream_.async_ping(websocket::ping_data(std::to_string(states_)), [self = self()](const error_code& error) {
      self->pinging_ = false;
      if (!error) self->write_if_due();  // of an error the reading hears, too
    });
  }

  void on_pong(std::string_view payload) {
    if (!unread_ || stopping_) return;
    if (payload == std::to_string(states_)) {
      unread_ = false;
      read_by_.expires_at(asio::steady_timer::time_point::max());
      return write_if_due();
    }
    // RFC 6455 section 5.5.3: of several pings a peer may answer the last alone. Those for its silence are empty;
    // before a second one of them the state's time is over.
    if (payload.empty() && !pinging_ && !std::exchange(asked_again_, true)) ping();
  }

  void close() {
    stream_.async_close(websocket::close_code::going_away, [self = self()](const error_code&) { self->end(); });
  }

  void end() {
    if (std::exchange(ended_, true)) return;
    open_ = false;
    stopping_ = true;
    read_by_.cancel();
    error_code ignored;
    stream_.next_layer().close(ignored);
    auto hooks = std::exchange(hooks_, {});
    if (hooks.closed) hooks.closed();
  }

  websocket::stream<asio::ip::tcp::socket> stream_;
  asio::steady_timer read_by_;  ///< the state that is on its way, and then its pong
  Duration read_within_;
  boost::beast::flat_buffer buffer_;
  Hooks hooks_;
  Outgoing pending_, on_its_way_;
  std::uint64_t states_ = 0;  ///< that have been sent
  bool unread_ = false;       ///< the last of them, as far as is known
  bool asked_again_ = false;  ///< whether that one is read
  bool open_ = false, reading_ = false, pinging_ = false, stopping_ = false, ended_ = false;
};

}  // namespace

std::shared_ptr<WsSession> WsSession::make(Connection connection, const WsBounds& bounds) {
  return std::make_shared<BeastSession>(std::move(connection.socket().tcp), bounds);
}

}  // namespace qh::serve
