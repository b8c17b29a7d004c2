#include "serve/ws_session.h"

#include <optional>
#include <utility>

#include <boost/asio/buffer.hpp>
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
  BeastSession(asio::ip::tcp::socket socket, const WsBounds& bounds) : stream_(std::move(socket)) {
    stream_.set_option(websocket::stream_base::timeout{bounds.handshake, bounds.idle, true});
    stream_.read_message_max(bounds.message_bytes);
    stream_.auto_fragment(false);
  }

  void run(std::string_view begin, Hooks hooks) override {
    hooks_ = std::move(hooks);
    stream_.async_accept(asio::buffer(begin), [self = self()](const error_code& error) {
      if (error) return self->end();
      self->open_ = true;
      if (self->hooks_.opened) self->hooks_.opened();
      self->read();
      if (self->stopping_) return self->close();
      if (self->pending_.first && !self->on_its_way_.first) self->write();
    });
  }

  void send(std::shared_ptr<const std::string> message, bool text) override {
    if (stopping_) return;
    pending_ = {std::move(message), text};
    if (open_ && !on_its_way_.first) write();
  }

  void stop() override {
    if (std::exchange(stopping_, true)) return;
    pending_ = {};
    if (open_ && !on_its_way_.first) close();
  }

 private:
  using Outgoing = std::pair<std::shared_ptr<const std::string>, bool>;

  std::shared_ptr<BeastSession> self() { return std::static_pointer_cast<BeastSession>(shared_from_this()); }

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
    if (!ended_ && !reading_ && !on_its_way_.first) read();
  }

  void write() {
    on_its_way_ = std::exchange(pending_, {});
    stream_.text(on_its_way_.second);
    stream_.async_write(asio::buffer(*on_its_way_.first), [self = self()](const error_code& error, std::size_t) {
      self->on_its_way_ = {};
      if (error) return self->end();
      if (self->stopping_) return self->close();
      if (self->pending_.first) return self->write();
      self->read_on();
    });
  }

  void close() {
    stream_.async_close(websocket::close_code::going_away, [self = self()](const error_code&) { self->end(); });
  }

  void end() {
    if (std::exchange(ended_, true)) return;
    open_ = false;
    stopping_ = true;
    error_code ignored;
    stream_.next_layer().close(ignored);
    auto hooks = std::exchange(hooks_, {});
    if (hooks.closed) hooks.closed();
  }

  websocket::stream<asio::ip::tcp::socket> stream_;
  boost::beast::flat_buffer buffer_;
  Hooks hooks_;
  Outgoing pending_, on_its_way_;
  bool open_ = false, reading_ = false, stopping_ = false, ended_ = false;
};

}  // namespace

std::shared_ptr<WsSession> WsSession::make(Connection connection, const WsBounds& bounds) {
  return std::make_shared<BeastSession>(std::move(connection.socket().tcp), bounds);
}

}  // namespace qh::serve
