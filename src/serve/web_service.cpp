#include "serve/web_service.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "serve/page.h"
#include "watch/exposition.h"

namespace qh::serve {
namespace {

constexpr Duration kFreshFor = std::chrono::seconds(1);
constexpr std::string_view kPortMark = "{metrics-port}";  // in the page, once
constexpr std::string_view kPagePath = "/qssh-queue-manager.html";

/// Of all that this port answers: nothing but our own files, and no frame around us. The page connects to the metrics
/// WebSocket.
std::string safe_fields(std::uint16_t metrics_port) {
  const auto sockets = metrics_port == 0 ? std::string() : " ws://*:" + std::to_string(metrics_port);
  return "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
         "connect-src 'self'" +
         sockets +
         "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
         "Cross-Origin-Opener-Policy: same-origin\r\n"
         "X-Frame-Options: DENY\r\n"
         "X-Content-Type-Options: nosniff\r\n"
         "Referrer-Policy: no-referrer\r\n"
         "Cross-Origin-Resource-Policy: same-origin\r\n"
         "Cache-Control: no-store\r\n";
}

struct Route {
  std::string_view path, what;
};
constexpr std::array kRoutes{
    Route{kPagePath, "the validators, live"},     Route{"/api/v1/status", "everything, as JSON"},
    Route{"/metrics", "for Prometheus"},          Route{"/metrics.json", "the same as JSON"},
    Route{"/livez", "whether the process turns"}, Route{"/readyz", "whether it takes work"},
    Route{"/startupz", "whether it has started"}};

bool is_known(std::string_view path) {
  if (path == "/" || find_page_file(path) != nullptr) return true;
  return std::any_of(kRoutes.begin(), kRoutes.end(), [&](const Route& route) { return route.path == path; });
}

std::pair<std::string_view, std::string_view> split_target(std::string_view target) {
  const auto path = path_of(target);
  const auto mark = std::min(path.find('?'), path.size());
  return {path.substr(0, mark), path.substr(std::min(mark + 1, path.size()))};
}

}  // namespace

WebService::WebService(Settings settings, Source source)
    : settings_(std::move(settings)), source_(std::move(source)), safe_fields_(safe_fields(settings_.metrics_port)) {}

std::optional<HttpAnswer> WebService::refuses_target(const RequestHead& head) {
  const auto path = split_target(head.target).first;
  if (!is_known(path)) {
    std::string list = "there is nothing here; there are";
    for (const auto& route : kRoutes) list += "\n  " + std::string(route.path) + "  " + std::string(route.what);
    return text_answer(404, std::move(list));
  }
  if (head.method == "GET" || head.method == "HEAD") return std::nullopt;
  return text_answer(405, "this port only tells: GET or HEAD", "Allow: GET, HEAD\r\n");
}

std::optional<HttpAnswer> WebService::refuses_caller(const RequestHead&, const rpc::Caller* caller) {
  return refuses_reader(caller);
}

HttpAnswer WebService::too_large(const std::string& why, std::size_t, std::uint64_t) const {
  return text_answer(413, why);
}

HttpService::CallId WebService::handle(const RequestHead& head, std::string_view, const rpc::Caller&, Done done) {
  const auto [path, query] = split_target(head.target);
  done(answer(head, path, query));
  return 0;
}

HttpAnswer WebService::answer(const RequestHead& head, std::string_view path, std::string_view query) {
  if (path == "/") return text_answer(302, std::string(kPagePath), "Location: " + std::string(kPagePath) + "\r\n");
  if (const auto* file = find_page_file(path)) return page(*file);
  if (path == "/livez") return checks("livez", query, node::live_checks);
  if (path == "/readyz") return checks("readyz", query, node::ready_checks);
  if (path == "/startupz") return checks("startupz", query, node::startup_checks);
  if (path == "/metrics") return metrics(head);
  if (path == "/metrics.json") return face(metrics_json_, "application/json", node::metrics_json);
  return face(status_, "application/json", node::status_json);
}

HttpAnswer WebService::page(const PageFile& file) const {
  std::string text(file.text);
  if (const auto at = text.find(kPortMark); at != text.npos)
    text.replace(at, kPortMark.size(), std::to_string(settings_.metrics_port));
  return {.body = std::move(text), .type = file.type};
}

node::Figures WebService::figures() {
  reports_ = source_();
  return {.validators = reports_,
          .version = settings_.version,
          .now = clock_.wall(),
          .now_mono = clock_.mono(),
          .started_at = settings_.started_at,
          .uptime = clock_.mono() - settings_.started_mono};
}

std::string WebService::socket_json() { return node::socket_json(figures()); }

HttpAnswer WebService::face(Made& made, std::string_view type, Face make) {
  if (const auto now = clock_.mono(); made.until <= now) {
    made.text = make(figures());
    made.until = now + kFreshFor;
  }
  return {.body = made.text, .type = type};
}

HttpAnswer WebService::metrics(const RequestHead& head) {
  using watch::Exposition;
  const auto format = watch::negotiate(head.field("Accept").value_or(""));
  const auto type = watch::content_type(format);
  auto answer = format == Exposition::kOpenMetrics
                    ? face(open_metrics_, type,
                           [](const node::Figures& f) {
                             return watch::expose(node::metric_families(f), Exposition::kOpenMetrics);
                           })
                    : face(prometheus_, type, [](const node::Figures& f) {
                        return watch::expose(node::metric_families(f), Exposition::kPrometheus);
                      });
  answer.fields = "Vary: Accept\r\n";
  return answer;
}

/// Never from memory: a check is asked to see what is true now.
HttpAnswer WebService::checks(std::string_view page, std::string_view query,
                              std::vector<watch::Check> (*list)(const node::Figures&)) {
  const auto judged = watch::judge(page, list(figures()), query);
  return {.status = judged.passed ? 200 : 503, .body = judged.text, .type = "text/plain; charset=utf-8"};
}

}  // namespace qh::serve
