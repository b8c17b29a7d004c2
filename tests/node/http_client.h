// tests/node/http_client.h - HTTP byte by byte, with deadlines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/value.hpp>

namespace qh::test {

struct HttpReply {
  int status = 0;
  std::string head;
  std::string body;
  bool has(std::string_view line) const { return head.find(line) != head.npos; }
  boost::json::value json() const;
};

class HttpClient {
 public:
  explicit HttpClient(std::uint16_t port, const char* address = "127.0.0.1");
  ~HttpClient();
  HttpClient(HttpClient&& other) noexcept;
  HttpClient& operator=(HttpClient&& other) noexcept;

  bool connected() const { return fd_ >= 0; }
  bool send(std::string_view bytes) const;
  void end_sending() const;  ///< shuts our half down
  /// The next answer; nothing when the connection ended or time was up.
  std::optional<HttpReply> reply(bool head_only = false);
  /// The text of the next WebSocket frame that has one. Pings before it are answered.
  std::optional<std::string> text_frame();
  /// The other side has ended the connection, behind what has been read.
  bool ended();
  /// POSTs one body and answers the parsed JSON of the reply.
  boost::json::value call(std::string_view body, std::string_view headers = {});

 private:
  bool fill();

  int fd_ = -1;
  std::string received_;
};

std::string post(std::string_view body, std::string_view headers = {});
std::string rpc(std::string_view method, std::string_view params = "[]");
/// Of the health in a result of qssh_getMetrics: how slow the disk of the machine is, no test can know.
std::int64_t points_lost_but_by_the_disk(const boost::json::value& metrics);

}  // namespace qh::test
