#include "serve/http_reply.h"

namespace qh::serve {
namespace {

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 302:
      return "Found";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 426:
      return "Upgrade Required";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

void write_head(int status, const ReplyOptions& options, std::string& out) {
  out += "HTTP/1.1 ";
  out += std::to_string(status);
  out += ' ';
  out += reason(status);
  out += "\r\n";
  out += options.extra;
  out += options.common;
  if (!options.origin.empty()) {
    out += "Access-Control-Allow-Origin: ";
    out += options.origin;
    out += "\r\nVary: Origin\r\n";
  }
  if (!options.keep_alive) out += "Connection: close\r\n";
  if (options.keep_alive && options.http_1_0) out += "Connection: keep-alive\r\n";
}

}  // namespace

void write_reply(int status, std::string_view body, const ReplyOptions& options, std::string& out) {
  write_head(status, options, out);
  if (status != 204) {
    out += "Content-Type: ";
    out += options.type;
    out += "\r\nContent-Length: ";
    out += std::to_string(body.size());
    out += "\r\n";
  }
  out += "\r\n";
  if (!options.head_only && status != 204) out += body;
}

void write_preflight(bool private_network, const ReplyOptions& options, std::string& out) {
  write_head(204, options, out);
  out +=
      "Access-Control-Allow-Methods: POST\r\n"
      "Access-Control-Allow-Headers: authorization, content-type\r\n"
      "Access-Control-Max-Age: 600\r\n";
  if (private_network) out += "Access-Control-Allow-Private-Network: true\r\n";
  out += "\r\n";
}

std::string curl_example(std::string_view authority, bool needs_token) {
  return "curl http://" + std::string(authority) + (needs_token ? R"( -H "Authorization: Bearer $TOKEN")" : "") +
         R"( -d '{"jsonrpc":"2.0","method":"qssh_getValidatorName","params":[],"id":1}')";
}

}  // namespace qh::serve
