#include "serve/rpc_front.h"

#include <utility>

#include "node/start_screen.h"
#include "serve/binary_server.h"
#include "serve/http_reply.h"
#include "serve/http_service.h"

namespace qh::serve {
namespace {

class RpcService final : public HttpService {
 public:
  struct Place {
    std::string host;  ///< for those who do not say how they found it
    std::uint16_t port = 0;
    bool needs_token = false;
  };
  RpcService(rpc::Dispatcher& dispatcher, Place place) : dispatcher_(dispatcher), place_(std::move(place)) {}

  std::optional<HttpAnswer> refuses_target(const RequestHead& head) override {
    if (path_of(head.target) != "/") return text_answer(404, "JSON-RPC is at /: " + curl_line(head));
    if (head.method == "POST" || is_preflight(head)) return std::nullopt;
    return text_answer(405, "JSON-RPC is sent with POST: " + curl_line(head), "Allow: POST\r\n");
  }

  std::optional<HttpAnswer> refuses_caller(const RequestHead& head, const rpc::Caller* caller) override {
    if (caller != nullptr) return std::nullopt;
    const auto* why = head.field("Authorization") ? "this token is not in the node's token file"
                                                  : "a token is needed: Authorization: Bearer TOKEN";
    HttpAnswer answer{.status = 401, .body = rpc::error_reply(rpc::Code::kUnauthorized, why) + "\n"};
    answer.fields = "WWW-Authenticate: Bearer\r\n";
    return answer;
  }

  HttpAnswer too_large(const std::string& why, std::size_t limit, std::uint64_t size) const override {
    return {.status = 413, .body = rpc::error_reply(rpc::Code::kTooLarge, why, limit, size) + "\n"};
  }
  std::uint64_t held_bytes() const override { return dispatcher_.held_bytes(); }
  std::uint64_t held_bytes(CallId call) const override { return dispatcher_.held_bytes(call); }

  CallId handle(const RequestHead&, std::string_view body, const rpc::Caller& caller, Done done) override {
    return dispatcher_.handle(body, caller, [done = std::move(done)](std::string json) mutable {
      if (json.empty()) return done({.status = 204});
      json += '\n';  // for terminals; JSON does not mind
      done({.body = std::move(json)});
    });
  }

  void abandon(CallId call) override { dispatcher_.abandon(call); }

 private:
  /// With the Host that has led here, where it is one that a shell takes as a word.
  std::string curl_line(const RequestHead& head) const {
    constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]";
    std::string host(head.field("Host").value_or(""));
    if (host.empty() || host.find_first_not_of(kPlain) != host.npos) host = place_.host;
    if (host.ends_with(']') || host.find(':') == host.npos) host += ":" + std::to_string(place_.port);
    return curl_example(host, place_.needs_token);
  }

  rpc::Dispatcher& dispatcher_;
  Place place_;
};

class RpcFront final : public node::Front {
 public:
  RpcFront(boost::asio::io_context& loop, const node::FrontSettings& settings, const RpcFrontOptions& options)
      : place_{node::shown_host(options.listen), settings.port, options.access.require_token},
        server_(loop, {.name = settings.validator,
                       .port = settings.port,
                       .listen = options.listen,
                       .port_flag_hint = options.port_flag_hint,
                       .access = options.access,
                       .bounds = options.bounds}) {
    if (settings.binary_port == 0) return;
    binary_.emplace(loop, BinaryServerSettings{.name = settings.validator,
                                               .port = settings.binary_port,
                                               .listen = options.listen,
                                               .port_flag_hint = options.binary_port_flag_hint,
                                               .bounds = {.connections = options.bounds.connections}});
  }

  Result<void> bind() override {
    if (auto bound = server_.bind(); !bound || !binary_) return bound;
    return binary_->bind();
  }
  Result<void> listen(rpc::Dispatcher& dispatcher) override {
    if (auto listening = server_.listen(service_.emplace(dispatcher, place_)); !listening || !binary_) return listening;
    return binary_->listen(dispatcher);
  }
  void flush() override {
    if (binary_) binary_->flush();
  }
  void begin_stop() override {
    server_.begin_stop();
    if (binary_) binary_->begin_stop();
  }
  void finish(UniqueFunction<void()> done) override {
    if (!binary_) return server_.finish(std::move(done));
    binary_->finish([this, done = std::move(done)]() mutable { server_.finish(std::move(done)); });
  }

 private:
  RpcService::Place place_;
  std::optional<RpcService> service_;
  HttpServer server_;  // behind it: its sessions use the service
  std::optional<BinaryServer> binary_;
};

}  // namespace

std::unique_ptr<node::Front> make_rpc_front(boost::asio::io_context& loop, const node::FrontSettings& settings,
                                            const RpcFrontOptions& options) {
  return std::make_unique<RpcFront>(loop, settings, options);
}

}  // namespace qh::serve
