// serve/web_service.h - the web port: a page, the status, the metrics, the health checks. It only tells.
//
// What is asked for is made from the validators' newest figures at most once a second, so that a scrape costs what
// sending it costs.
//
// Threads  the node's loop.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "node/figures.h"
#include "serve/http_service.h"
#include "serve/page.h"

namespace qh::serve {

class WebService final : public HttpService {
 public:
  using Source = std::function<std::vector<node::ValidatorReport>()>;

  struct Settings {
    std::string version;
    WallTime started_at;
    MonoTime started_mono;           ///< the same moment
    std::uint16_t metrics_port = 0;  ///< what the page connects to; 0: there is none
  };

  WebService(Settings settings, Source source);

  /// What the metrics WebSocket sends now.
  std::string socket_json();

  std::optional<HttpAnswer> refuses_target(const RequestHead& head) override;
  std::optional<HttpAnswer> refuses_caller(const RequestHead& head, const rpc::Caller* caller) override;
  HttpAnswer too_large(const std::string& why, std::size_t limit, std::uint64_t size) const override;
  CallId handle(const RequestHead& head, std::string_view body, const rpc::Caller& caller, Done done) override;

 private:
  using Face = std::string (*)(const node::Figures&);
  struct Made {
    MonoTime until{};
    std::string text;
  };

  node::Figures figures();
  HttpAnswer page(const PageFile& file) const;
  HttpAnswer face(Made& made, std::string_view type, Face make);
  HttpAnswer checks(std::string_view page, std::string_view query,
                    std::vector<watch::Check> (*list)(const node::Figures&));
  HttpAnswer metrics(const RequestHead& head);
  HttpAnswer answer(const RequestHead& head, std::string_view path, std::string_view query);

  Settings settings_;
  Source source_;
  SystemClock clock_;
  std::vector<node::ValidatorReport> reports_;
  Made status_, metrics_json_, prometheus_, open_metrics_;
};

}  // namespace qh::serve
