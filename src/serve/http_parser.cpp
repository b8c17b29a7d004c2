// The one file of the room that compiles Beast.
#include "serve/http_parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/rfc7230.hpp>

#include "serve/http_framing.h"

namespace qh::serve {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

std::string_view view(string_view text) { return {text.data(), text.size()}; }

class BeastRequest final : public http::basic_parser<true> {
 public:
  BeastRequest(const HttpLimits& limits, RequestHead& head) : head_(&head) {
    header_limit(static_cast<std::uint32_t>(limits.header_bytes));
    body_limit(limits.body_bytes);
  }
  std::size_t remaining = 0;
  std::uint64_t body_bytes = 0;  ///< that have come

 private:
  void on_request_impl(http::verb, string_view method, string_view target, int version, error_code&) override {
    head_->method = view(method);
    head_->target = view(target);
    head_->http_1_1 = version == 11;
  }
  void on_field_impl(http::field field, string_view name, string_view value, error_code& error) override {
    // Trailers are read and forgotten: nothing here depends on one, and the head has been judged without them.
    if (is_header_done()) return;
    if (head_->fields.size() == kHeaderFieldsMax) error = http::error::header_limit;
    head_->fields.emplace_back(view(name), view(value));
    // RFC 9112 section 9.3; in HTTP/1.0 Beast would let keep-alive win.
    if (field == http::field::connection && http::token_list(value).exists("close")) closes_ = true;
  }
  void on_header_impl(error_code&) override {
    remaining = static_cast<std::size_t>(content_length().value_or(0));
    head_->chunked = chunked();
    head_->has_body = chunked() || remaining != 0;
    head_->keep_alive = keep_alive() && !closes_;
  }
  void on_chunk_header_impl(std::uint64_t size, string_view, error_code&) override {
    remaining = static_cast<std::size_t>(size);
  }
  std::size_t on_body_impl(string_view bytes, error_code&) override { return took(bytes); }
  std::size_t on_chunk_body_impl(std::uint64_t, string_view bytes, error_code&) override { return took(bytes); }
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  void on_finish_impl(error_code&) override {}

  std::size_t took(string_view bytes) {
    remaining -= bytes.size();
    body_bytes += bytes.size();
    return bytes.size();
  }

  RequestHead* head_;
  bool closes_ = false;
};

/// METHOD TARGET HTTP/2.0, and not something that has no version.
bool has_a_version(std::string_view head) {
  const auto target = head.find(' ');
  const auto version = target == head.npos ? head.npos : head.find(' ', target + 1);
  return version != head.npos && head.substr(version + 1).starts_with("HTTP/");
}

class Parser final : public HttpParser {
 public:
  explicit Parser(HttpLimits limits) : limits_(limits) {}

  std::optional<HttpRefusal> read_head(std::string_view text, RequestHead& head) override {
    head = {};
    beast_.emplace(limits_, head);
    return with_size(put(text), announced_length(text));
  }
  std::optional<HttpRefusal> read_chunk_line(std::string_view text) override {
    return with_size(put(text), beast_->body_bytes + announced_chunk(text));
  }
  std::optional<HttpRefusal> read_data(std::string_view bytes) override { return put(bytes); }
  std::size_t remaining() const override { return beast_->remaining; }
  bool done() const override { return beast_->is_done(); }

 private:
  std::optional<HttpRefusal> put(std::string_view text) {
    error_code error;
    const auto taken = beast_->put(boost::asio::const_buffer(text.data(), text.size()), error);
    if (error) return refusal_of(error, text);
    if (taken != text.size()) return HttpRefusal{400, "bytes that belong to nothing"};
    return std::nullopt;
  }

  /// `body_bytes`: what the body comes to by what has been read so far.
  static std::optional<HttpRefusal> with_size(std::optional<HttpRefusal> refusal, std::uint64_t body_bytes) {
    if (refusal && refusal->status == 413) refusal->size = body_bytes;
    return refusal;
  }

  HttpRefusal refusal_of(const error_code& error, std::string_view text) const {
    if (error == http::error::body_limit) return body_too_large(limits_);
    if (error == http::error::header_limit) return {431, "over " + std::to_string(kHeaderFieldsMax) + " header fields"};
    if (error == http::error::bad_version && has_a_version(text))
      return {505, "only HTTP/1.1 and HTTP/1.0 are spoken here"};
    // To need more of a whole part is to see its end elsewhere.
    if (error == http::error::need_more) return {400, "a part of the request that does not end where its line does"};
    return {400, "no HTTP/1.1: " + error.message()};
  }

  HttpLimits limits_;
  std::optional<BeastRequest> beast_;
};

}  // namespace

std::unique_ptr<HttpParser> make_http_parser(HttpLimits limits) { return std::make_unique<Parser>(limits); }

}  // namespace qh::serve
