#include "serve/metrics_socket.h"

#include <utility>

#include "serve/http_framing.h"

namespace qh::serve {
namespace {

std::string where(std::uint16_t port) {
  return "the metrics are a WebSocket at ws://localhost:" + std::to_string(port) + std::string(kMetricsPath);
}

}  // namespace

void MetricsSocket::publish(std::string json) {
  newest_ = std::make_shared<const std::string>(std::move(json));
  for (const auto& [id, session] : sessions_) session->send(newest_);
}

void MetricsSocket::stop() {
  for (const auto& [id, session] : std::unordered_map(sessions_)) session->stop();
}

std::optional<HttpAnswer> MetricsSocket::refuses_target(const RequestHead& head) {
  const auto path = path_of(head.target);
  if (path.substr(0, path.find('?')) != kMetricsPath) return text_answer(404, where(port_));
  if (head.method != "GET") return text_answer(405, where(port_), "Allow: GET\r\n");
  const auto upgrade = head.field("Upgrade");
  if (!upgrade || !same_name(*upgrade, "websocket") || head.has_body)
    return text_answer(426, where(port_), "Upgrade: websocket\r\n");
  if (sessions_.size() >= kSocketsMax)
    return text_answer(503, "too many readers of the metrics", "Retry-After: 1\r\n");
  return std::nullopt;
}

std::optional<HttpAnswer> MetricsSocket::refuses_caller(const RequestHead&, const rpc::Caller* caller) {
  return refuses_reader(caller);
}

HttpAnswer MetricsSocket::too_large(const std::string& why, std::size_t, std::uint64_t) const { return text_answer(413, why); }

HttpService::CallId MetricsSocket::handle(const RequestHead&, std::string_view, const rpc::Caller&, Done done) {
  done(text_answer(426, where(port_), "Upgrade: websocket\r\n"));
  return 0;
}

void MetricsSocket::take(boost::asio::ip::tcp::socket socket, std::string begin) {
  const auto id = ++last_id_;
  const auto session = WsSession::make(std::move(socket), {.message_bytes = 4096});
  sessions_.emplace(id, session);
  session->send(newest_);  // goes out as soon as it is open
  session->run(begin, {.opened = {}, .message = {}, .closed = [this, id] { sessions_.erase(id); }});
}

}  // namespace qh::serve
