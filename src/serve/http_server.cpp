#include "serve/http_server.h"

#include <iterator>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "serve/http_session.h"
#include "serve/listeners.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr Duration kSweepEvery = std::chrono::milliseconds(250);
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
      : loop_(loop),
        settings_(std::move(settings)),
        host_{.settings = settings_},
        listeners_(loop, {.name = settings_.name,
                          .port = settings_.port,
                          .addresses = settings_.listen,
                          .port_flag_hint = settings_.port_flag_hint}),
        sweep_(loop),
        finish_(loop) {}
  ~Impl() {
    for (const auto& session : host_.sessions) session->forget_host();
  }

  Result<void> bind() { return listeners_.bind(); }

  Result<void> listen(HttpService& service) {
    host_.service = &service;
    auto listening = listeners_.listen([this](tcp::socket socket) { welcome(std::move(socket)); });
    if (listening) sweep();
    return listening;
  }

  void begin_stop() {
    host_.stopping = true;
    listeners_.close();
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
  Listeners listeners_;
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
