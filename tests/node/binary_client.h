// tests/node/binary_client.h - a blocking client of the binary RPC over a socket, with deadlines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rpc/binary_body.h"

namespace qh::test {

struct BinaryAnswer {
  rpc::binary::Header header;
  Bytes body;
  bool ok() const { return header.kind == rpc::binary::Kind::kResult; }
};

class BinaryClient {
 public:
  enum class Greets : std::uint8_t { kYes, kNo };
  explicit BinaryClient(std::uint16_t port, Greets greets = Greets::kYes);
  ~BinaryClient();
  BinaryClient(const BinaryClient&) = delete;
  BinaryClient& operator=(const BinaryClient&) = delete;

  bool send(ByteView bytes) const;
  void end_sending() const;
  /// Its end is a reset.
  void reset_at_the_end() const;
  /// The next answer; nothing when the connection ended or time was up.
  std::optional<BinaryAnswer> answer();
  /// All that comes until the other side ends; nothing when it does not.
  std::optional<std::string> rest();

  template <class Request>
  std::optional<BinaryAnswer> ask(const Request& request) {
    Bytes out;
    rpc::binary::put_request(out, ++last_id_, request);
    return send(out) ? answer() : std::nullopt;
  }

 private:
  bool fill();

  int fd_ = -1;
  std::uint64_t last_id_ = 0;
  Bytes received_;
};

}  // namespace qh::test
