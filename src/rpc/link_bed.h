// rpc/link_bed.h - a TestBed with a stream of the binary codec to it. Private to rpc/'s tests.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rpc/binary_body.h"
#include "rpc/binary_link.h"
#include "rpc/json_bed.h"
#include "rpc/method.h"

namespace qh::rpc {

class LinkBed : public JsonBed {
 public:
  struct Answer {
    binary::Header header;
    Bytes body;
    std::string_view text() const { return as_text(body); }
    binary::RemoteError error() const { return binary::read_error(body).value(); }
    bool ok() const { return header.kind == binary::Kind::kResult; }
  };

  explicit LinkBed(queue::Options options = {}) : JsonBed(std::move(options)) {
    link = std::make_unique<BinaryLink>(dispatcher(), caller, [this] { ++flushes; });
    Bytes preface;
    binary::put_preface(preface);
    send(preface);
    EXPECT_EQ(std::exchange(link->out(), {}), preface);
  }

  /// Everything that comes of it without time passing stands in out() then.
  void send(ByteView bytes) {
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    go_on();
  }
  void go_on() {
    const auto taken = link->take(pending_);
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(taken));
    settle();
  }
  std::size_t not_taken() const { return pending_.size(); }

  std::vector<Answer> answers() {
    std::vector<Answer> all;
    const auto out = std::exchange(link->out(), {});
    for (ByteView rest = out; !rest.empty();) {
      const auto frame = binary::parse_frame(rest, binary::From::kServer);
      EXPECT_EQ(frame.state, binary::Frame::State::kFrame) << frame.why;
      if (frame.state != binary::Frame::State::kFrame) break;
      all.push_back({frame.header, Bytes(frame.body.begin(), frame.body.end())});
      rest = rest.subspan(frame.wire_bytes());
    }
    return all;
  }
  /// The one answer there is.
  Answer answer() {
    auto all = answers();
    EXPECT_EQ(all.size(), 1U);
    return all.empty() ? Answer() : std::move(all.front());
  }

  template <class Request>
  Answer ask(const Request& request) {
    Bytes out;
    binary::put_request(out, ++last_id, request);
    send(out);
    auto got = answer();
    EXPECT_EQ(got.header.id, last_id);
    return got;
  }
  Answer ask_json(std::string_view method, std::string_view params) {
    Bytes out;
    binary::put_json_request(out, ++last_id, find_method(method)->number, params);
    send(out);
    return answer();
  }

  std::unique_ptr<BinaryLink> link;
  int flushes = 0;
  std::uint64_t last_id = 0;

 private:
  Bytes pending_;
};

}  // namespace qh::rpc
