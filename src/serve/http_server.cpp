#include "serve/http_server.h"

#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "serve/http_session.h"
#include "serve/listeners.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

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
      : settings_(std::move(settings)),
        host_{.settings = settings_, .sessions = Sessions<HttpSession>(loop)},
        listeners_(loop, {.name = settings_.name,
                          .port = settings_.port,
                          .addresses = settings_.listen,
                          .port_flag_hint = settings_.port_flag_hint}) {}
  ~Impl() { host_.sessions.forget_host(); }

  Result<void> bind() { return listeners_.bind(); }

  std::uint16_t port() const { return listeners_.port(); }

  Result<void> listen(HttpService& service) {
    host_.service = &service;
    auto listening = listeners_.listen([this](tcp::socket socket) { welcome(std::move(socket)); });
    if (listening) host_.sessions.sweep();
    return listening;
  }

  void begin_stop() {
    host_.stopping = true;
    listeners_.close();
  }

  void finish(UniqueFunction<void()> done) { host_.sessions.finish(std::move(done)); }

 private:
  void welcome(tcp::socket socket) {
    error_code error;
    const auto peer = socket.remote_endpoint(error);
    if (error) return;  // gone already
    const auto session = std::make_shared<HttpSession>(std::move(socket), is_loopback(peer.address()), host_);
    if (host_.sessions.list().size() >= settings_.bounds.connections && !make_place()) return session->refuse_crowd();
    session->start(host_.sessions.enter(session));
  }

  bool make_place() { return settings_.bounds.slowest_gives_way && HttpSession::make_place(host_); }

  HttpServerSettings settings_;
  SessionHost host_;
  Listeners listeners_;
};

HttpServer::HttpServer(asio::io_context& loop, HttpServerSettings settings)
    : impl_(std::make_unique<Impl>(loop, std::move(settings))) {}
HttpServer::~HttpServer() = default;

Result<void> HttpServer::bind() { return impl_->bind(); }
std::uint16_t HttpServer::port() const { return impl_->port(); }
Result<void> HttpServer::listen(HttpService& service) { return impl_->listen(service); }
void HttpServer::begin_stop() { impl_->begin_stop(); }
void HttpServer::finish(UniqueFunction<void()> done) { impl_->finish(std::move(done)); }

}  // namespace qh::serve
