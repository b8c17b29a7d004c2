#include "serve/ws_service.h"

#include <utility>

#include "serve/http_framing.h"

namespace qh::serve {

std::string WsService::hint() const {
  return settings_.hint.empty() ? "there is a WebSocket at " + settings_.path : settings_.hint;
}

void WsService::send_state(const std::shared_ptr<const std::string>& state) {
  for (const auto& [id, session] : sessions_) session->send_state(state);
}

void WsService::stop() {
  for (const auto& [id, session] : std::unordered_map(sessions_)) session->stop();
}

std::optional<HttpAnswer> WsService::refuses_target(const RequestHead& head) {
  const auto path = path_of(head.target);
  if (path.substr(0, path.find('?')) != settings_.path) return text_answer(404, hint());
  if (head.method != "GET") return text_answer(405, hint(), "Allow: GET\r\n");
  const auto upgrade = head.field("Upgrade");
  if (!upgrade || !same_name(*upgrade, "websocket") || head.has_body)
    return text_answer(426, hint(), "Upgrade: websocket\r\n");
  if (sessions_.size() >= settings_.sessions_max)
    return text_answer(503, "too many WebSockets at once", "Retry-After: 1\r\n");
  return std::nullopt;
}

std::optional<HttpAnswer> WsService::refuses_caller(const RequestHead&, const rpc::Caller* caller) {
  return refuses_reader(caller);
}

HttpAnswer WsService::too_large(const std::string& why, std::size_t, std::uint64_t) const {
  return text_answer(413, why);
}

HttpService::CallId WsService::handle(const RequestHead&, std::string_view, const rpc::Caller&, Done done) {
  done(text_answer(426, hint(), "Upgrade: websocket\r\n"));
  return 0;
}

void WsService::take(Connection connection, std::string begin) {
  const auto id = ++last_id_;
  const auto session = WsSession::make(std::move(connection), settings_.bounds);
  sessions_.emplace(id, session);
  auto hooks = welcome_(*session);
  hooks.closed = [this, id] { sessions_.erase(id); };
  session->run(begin, std::move(hooks));
}

}  // namespace qh::serve
