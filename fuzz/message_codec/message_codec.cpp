// fuzz/message_codec - any bytes: as a canonical body, and as JSON text.
//
// Law: a body that is accepted has no other encoding, and reads back the same through JSON; a JSON message
// that is accepted reads back the same through the canonical body.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <boost/json/value.hpp>

#include "base/invariant.h"
#include "queue/message_json.h"

namespace {

using namespace qh;         // NOLINT(google-build-using-namespace)
using namespace qh::queue;  // NOLINT(google-build-using-namespace)

void check_body(ByteView body) {
  const auto message = decode(body);
  if (!message) return;
  const auto again = encode(*message);
  INVARIANT(again && std::ranges::equal(*again, body), "one value, one encoding");
  const auto parsed = parse_json(write_json(message_to_json(*message)));
  INVARIANT(parsed, "what we write is JSON");
  const auto back = message_from_json(*parsed);
  INVARIANT(back && *back == *message, "JSON loses nothing");
}

void check_json(std::string_view text) {
  const auto parsed = parse_json(text);
  if (!parsed) return;
  const auto again = parse_json(write_json(*parsed));
  INVARIANT(again && write_json(*again) == write_json(*parsed), "text settles after one round");
  const auto message = message_from_json(*parsed);
  if (!message) return;
  const auto body = encode(*message);
  INVARIANT(body, "what JSON says can be stored");
  check_body(*body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  check_body(bytes);
  check_json(as_text(bytes));
  return 0;
}
