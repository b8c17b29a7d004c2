#include "serve/binary_server.h"

#include <iterator>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "rpc/binary_body.h"
#include "rpc/codes.h"
#include "serve/binary_session.h"
#include "serve/listeners.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr Duration kFinishWithin = std::chrono::seconds(1);

/// An answer to nobody's request in particular.
Bytes too_many_connections() {
  Bytes out;
  rpc::binary::put_preface(out);
  rpc::binary::FrameWriter frame(out, {.kind = rpc::binary::Kind::kError});
  rpc::binary::put_body(out, rpc::binary::RemoteError{static_cast<int>(rpc::Code::kBusy), "too many connections",
                                                      R"({"reason":"Busy"})"});
  frame.finish();
  return out;
}

}  // namespace

class BinaryServer::Impl {
 public:
  Impl(asio::io_context& loop, BinaryServerSettings settings)
      : loop_(loop),
        settings_(std::move(settings)),
        host_{.settings = settings_},
        listeners_(loop, {.name = settings_.name + " (binary)",
                          .port = settings_.port,
                          .addresses = settings_.listen,
                          .port_flag_hint = settings_.port_flag_hint}),
        sweep_(loop),
        finish_(loop) {
    host_.flush_later = [this] { flush_later(); };
  }
  ~Impl() {
    *alive_ = false;
    for (const auto& session : host_.sessions) session->forget_host();
  }

  Result<void> bind() { return listeners_.bind(); }

  Result<void> listen(rpc::Dispatcher& dispatcher) {
    host_.dispatcher = &dispatcher;
    auto listening = listeners_.listen([this](tcp::socket socket) { welcome(std::move(socket)); });
    if (listening) sweep();
    return listening;
  }

  void flush() {
    // A flush may let a connection go on, which is answered at once then: that is for the next one.
    std::swap(host_.answered, flushing_);
    for (const auto& session : flushing_) session->flush();
    flushing_.clear();
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
  void flush_later() {
    asio::post(loop_, [this, alive = alive_] {
      if (*alive) flush();
    });
  }

  void welcome(tcp::socket socket) {
    if (host_.sessions.size() >= settings_.bounds.connections) return refuse_crowd(std::move(socket));
    const auto session = std::make_shared<BinarySession>(std::move(socket), host_);
    host_.sessions.push_back(session);
    session->start(std::prev(host_.sessions.end()));
  }

  static void refuse_crowd(tcp::socket socket) {
    error_code ignored;
    socket.non_blocking(true, ignored);
    (void)socket.write_some(asio::buffer(too_many_connections()), ignored);
    char scrap[4096];
    (void)socket.read_some(asio::buffer(scrap), ignored);  // unread bytes would turn our close into a reset
  }

  /// One timer for all connections: their deadlines may be a sweep late.
  void sweep() {
    sweep_.expires_after(kSweepEvery);
    sweep_.async_wait([this](const error_code& error) {
      if (error) return;
      ++host_.sweeps;
      for (const auto& session : all_sessions()) session->judge();
      sweep();
    });
  }

  /// A copy: sessions leave the list while they are gone through.
  std::vector<std::shared_ptr<BinarySession>> all_sessions() const {
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
  BinaryServerSettings settings_;
  BinaryHost host_;
  Listeners listeners_;
  asio::steady_timer sweep_, finish_;
  std::vector<std::shared_ptr<BinarySession>> flushing_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< for what was posted
  UniqueFunction<void()> finished_;
};

BinaryServer::BinaryServer(asio::io_context& loop, BinaryServerSettings settings)
    : impl_(std::make_unique<Impl>(loop, std::move(settings))) {}
BinaryServer::~BinaryServer() = default;

Result<void> BinaryServer::bind() { return impl_->bind(); }
Result<void> BinaryServer::listen(rpc::Dispatcher& dispatcher) { return impl_->listen(dispatcher); }
void BinaryServer::flush() { impl_->flush(); }
void BinaryServer::begin_stop() { impl_->begin_stop(); }
void BinaryServer::finish(UniqueFunction<void()> done) { impl_->finish(std::move(done)); }

}  // namespace qh::serve
