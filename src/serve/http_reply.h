// serve/http_reply.h - the text of HTTP answers. Private to serve/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace qh::serve {

struct ReplyOptions {
  bool keep_alive = true;
  bool http_1_0 = false;         ///< the request was, so keeping it open has to be said
  bool head_only = false;        ///< the request was HEAD
  std::string_view origin = {};  ///< allowed; empty: none was given
  std::string_view extra = {};   ///< whole header lines
  std::string_view common = {};  ///< more of them
  std::string_view type = "application/json";
};

/// Appends a whole answer to `out`.
void write_reply(int status, std::string_view body, const ReplyOptions& options, std::string& out);
/// The answer to a browser's question whether it may send a POST.
void write_preflight(bool private_network, const ReplyOptions& options, std::string& out);
/// One line that works: "curl http://localhost:9944 -d '...'". `authority` is a host and a port.
std::string curl_example(std::string_view authority, bool needs_token);

}  // namespace qh::serve
