#include "serve/binary_server.h"

#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "rpc/binary_body.h"
#include "rpc/codes.h"
#include "serve/binary_session.h"
#include "serve/listeners.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

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
        host_{.settings = settings_, .sockets = ReadySockets(loop), .sessions = Sessions<BinarySession>(loop)},
        listeners_(loop, {.name = settings_.name + " (binary)",
                          .port = settings_.port,
                          .addresses = settings_.listen,
                          .port_flag_hint = settings_.port_flag_hint}) {
    host_.flush_later = [this] { flush_later(); };
  }
  ~Impl() {
    *alive_ = false;
    host_.sessions.forget_host();
  }

  Result<void> bind() { return listeners_.bind(); }

  Result<void> listen(rpc::Dispatcher& dispatcher) {
    host_.dispatcher = &dispatcher;
    if (auto opened = host_.sockets.open(); !opened) return opened;
    auto listening = listeners_.listen([this](tcp::socket socket) { welcome(std::move(socket)); });
    if (listening) host_.sessions.sweep();
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

  void finish(UniqueFunction<void()> done) { host_.sessions.finish(std::move(done)); }

 private:
  /// One at a time: where the validator flushes before it, it is for what is answered then.
  void flush_later() {
    if (std::exchange(flush_posted_, true)) return;
    asio::post(loop_, [this, alive = alive_] {
      if (!*alive) return;
      flush_posted_ = false;
      flush();
    });
  }

  void welcome(tcp::socket socket) {
    if (host_.sessions.list().size() >= settings_.bounds.connections) return refuse_crowd(std::move(socket));
    error_code error;
    socket.non_blocking(true, error);
    if (!error) socket.set_option(tcp::no_delay(true), error);
    if (error) return;  // gone already
    UniqueFd fd(socket.release(error));
    if (error) return;
    const auto session = std::make_shared<BinarySession>(std::move(fd), host_);
    session->start(host_.sessions.enter(session));
  }

  static void refuse_crowd(tcp::socket socket) {
    error_code ignored;
    socket.non_blocking(true, ignored);
    (void)socket.write_some(asio::buffer(too_many_connections()), ignored);
    char scrap[4096];
    (void)socket.read_some(asio::buffer(scrap), ignored);  // unread bytes would turn our close into a reset
  }

  asio::io_context& loop_;
  BinaryServerSettings settings_;
  BinaryHost host_;
  Listeners listeners_;
  std::vector<std::shared_ptr<BinarySession>> flushing_;
  bool flush_posted_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< for what was posted
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
