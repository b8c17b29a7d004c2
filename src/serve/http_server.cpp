#include "serve/http_server.h"

#include <cerrno>
#include <iterator>
#include <list>
#include <system_error>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "node/log.h"
#include "node/port_holder.h"
#include "serve/descriptors.h"
#include "serve/http_session.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr Duration kSweepEvery = std::chrono::milliseconds(250);
constexpr Duration kAcceptRetryDelay = std::chrono::milliseconds(100);
constexpr Duration kFinishWithin = std::chrono::seconds(1);

bool is_loopback(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
  }
  return address.is_loopback();
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(asio::io_context& loop, HttpServerSettings settings)
      : loop_(loop), settings_(std::move(settings)), host_{.settings = settings_}, sweep_(loop), finish_(loop) {}
  ~Impl() {
    for (const auto& session : host_.sessions) session->forget_host();
  }

  Result<void> bind() {
    if (settings_.listen.empty()) {
      if (auto v4 = bind_one("127.0.0.1"); !v4) return v4;
      auto v6 = bind_one("::1");
      // A machine without IPv6 has no ::1; everything else about it is an error as for any address.
      if (!v6 && (v6.error().os_errno == EADDRNOTAVAIL || v6.error().os_errno == EAFNOSUPPORT)) return {};
      return v6;
    }
    for (const auto& address : settings_.listen) {
      if (auto bound = bind_one(address); !bound) return bound;
    }
    return {};
  }

  Result<void> listen(HttpService& service) {
    host_.service = &service;
    for (auto& acceptor : acceptors_) {
      error_code error;
      acceptor.acceptor.listen(asio::socket_base::max_listen_connections, error);
      if (error) return fail(port_error(acceptor.name, error.value()));
      accept(acceptor);
    }
    sweep();
    return {};
  }

  void begin_stop() {
    host_.stopping = true;
    error_code ignored;
    for (auto& acceptor : acceptors_) acceptor.acceptor.close(ignored);
  }

  void finish(UniqueFunction<void()> done) {
    finished_ = std::move(done);
    host_.session_ended = [this] { end_if_empty(); };
    for (const auto& session : all_sessions()) session->stop();
    finish_.expires_after(kFinishWithin);
    finish_.async_wait([this](const error_code& error) {
      if (error) return;
      for (const auto& session : all_sessions()) session->close();
    });
    end_if_empty();
  }

 private:
  struct Listener {
    tcp::acceptor acceptor;
    asio::steady_timer retry;
    std::string name;
    bool paused = false;  ///< the last accept failed
  };

  Error port_error(const std::string& address, int os_errno) const {
    const bool v6 = address.find(':') != address.npos;
    const auto where = (v6 ? "[" + address + "]" : address) + ":" + std::to_string(settings_.port);
    Error error(Errc::kIo, settings_.name + ": cannot listen on " + where, os_errno);
    if (os_errno == EADDRINUSE) {
      const auto holder = node::port_holder(settings_.port);
      error = Error(Errc::kBusy, settings_.name + ": cannot listen on " + where + ": the port is in use" +
                                     (holder.empty() ? "" : " by " + holder) + ". " + settings_.port_flag_hint);
      error.subject = holder;
    } else if (os_errno == EACCES) {
      error.context += " (ports below 1024 need a privilege; " + settings_.port_flag_hint + ")";
    }
    return error;
  }

  Result<void> bind_one(const std::string& text) {
    error_code error;
    const auto address = asio::ip::make_address(text, error);
    if (error) return fail(Errc::kInvalid, "--listen " + text + ": no IP address");
    Listener listener{tcp::acceptor(loop_), asio::steady_timer(loop_), text};
    const tcp::endpoint endpoint(address, settings_.port);
    listener.acceptor.open(endpoint.protocol(), error);
    if (!error) listener.acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    // Each address has a socket of its own; :: must not take the IPv4 ones as well.
    if (!error && address.is_v6()) listener.acceptor.set_option(asio::ip::v6_only(true), error);
    if (!error) listener.acceptor.bind(endpoint, error);
    if (error) return fail(port_error(text, error.value()));
    acceptors_.push_back(std::move(listener));
    return {};
  }

  void accept(Listener& listener) {
    listener.acceptor.async_accept([this, &listener](const error_code& error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || host_.stopping) return;
      if (error && error != asio::error::connection_aborted) return accept_later(listener, error.value());
      if (!error) {
        if (std::exchange(listener.paused, false)) node::log_info(settings_.name, "takes connections again");
        welcome(std::move(socket));
      }
      accept(listener);
    });
  }

  /// EMFILE and the like: those that are in go on, and who waits outside is taken when one has gone.
  void accept_later(Listener& listener, int os_errno) {
    if (!std::exchange(listener.paused, true)) {
      const bool descriptors = os_errno == EMFILE || os_errno == ENFILE;
      auto line = "cannot take connections on port " + std::to_string(settings_.port) +
                  ", trying again each 100 ms: " + std::generic_category().message(os_errno);
      if (descriptors) line += std::string("; ") + kMoreDescriptors;
      node::log_warn(settings_.name, line);
    }
    listener.retry.expires_after(kAcceptRetryDelay);
    listener.retry.async_wait([this, &listener](const error_code& error) {
      if (!error && !host_.stopping) accept(listener);
    });
  }

  void welcome(tcp::socket socket) {
    error_code error;
    const auto peer = socket.remote_endpoint(error);
    if (error) return;  // gone already
    const auto session = std::make_shared<HttpSession>(std::move(socket), is_loopback(peer.address()), host_);
    if (host_.sessions.size() >= settings_.bounds.connections) return session->refuse_crowd();
    host_.sessions.push_back(session);
    session->start(std::prev(host_.sessions.end()));
  }

  /// One timer for all connections: their deadlines may be a quarter of a second late.
  void sweep() {
    sweep_.expires_after(kSweepEvery);
    sweep_.async_wait([this](const error_code& error) {
      if (error) return;
      const auto now = HttpSession::Clock::now();
      for (const auto& session : all_sessions()) session->judge_time(now);
      sweep();
    });
  }

  /// A copy: sessions leave the list while they are gone through.
  std::vector<std::shared_ptr<HttpSession>> all_sessions() const {
    return {host_.sessions.begin(), host_.sessions.end()};
  }

  void end_if_empty() {
    if (!host_.sessions.empty() || !finished_) return;
    finish_.cancel();
    sweep_.cancel();
    // Not from inside a session's own close().
    asio::post(loop_, [done = std::exchange(finished_, nullptr)]() mutable { done(); });
  }

  asio::io_context& loop_;
  HttpServerSettings settings_;
  SessionHost host_;
  std::list<Listener> acceptors_;
  asio::steady_timer sweep_, finish_;
  UniqueFunction<void()> finished_;
};

HttpServer::HttpServer(asio::io_context& loop, HttpServerSettings settings)
    : impl_(std::make_unique<Impl>(loop, std::move(settings))) {}
HttpServer::~HttpServer() = default;

Result<void> HttpServer::bind() { return impl_->bind(); }
Result<void> HttpServer::listen(HttpService& service) { return impl_->listen(service); }
void HttpServer::begin_stop() { impl_->begin_stop(); }
void HttpServer::finish(UniqueFunction<void()> done) { impl_->finish(std::move(done)); }

}  // namespace qh::serve
