// queue/arbitrary_message.h - random messages for property tests.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include <rapidcheck.h>

#include "queue/message.h"

namespace qh::queue {

inline rc::Gen<Bytes> arbitrary_bytes() {
  return rc::gen::map(rc::gen::container<std::vector<std::uint8_t>>(rc::gen::arbitrary<std::uint8_t>()),
                      [](const std::vector<std::uint8_t>& v) {
                        Bytes bytes;
                        for (const auto b : v) bytes.push_back(static_cast<std::byte>(b));
                        return bytes;
                      });
}

/// UTF-8 of one to four bytes a character, control characters and quotes among them.
inline rc::Gen<std::string> arbitrary_text() {
  const auto character =
      rc::gen::element<std::string>("a", "Z", "7", "\"", "\\", "/", "\n", std::string(1, '\0'), "\x1f", "\x7f",
                                    "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x96\x96", " ", "{", "'");
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(character),
                      [](const std::vector<std::string>& parts) {
                        std::string text;
                        for (const auto& part : parts) text += part;
                        return text;
                      });
}

inline rc::Gen<std::uint64_t> arbitrary_integer() {
  return rc::gen::map(
      rc::gen::oneOf(rc::gen::arbitrary<std::uint64_t>(), rc::gen::just(kIntegerMax), rc::gen::just<std::uint64_t>(0)),
      [](std::uint64_t v) { return v & kIntegerMax; });
}

inline rc::Gen<Hash32> arbitrary_hash() {
  return rc::gen::map(rc::gen::container<std::array<std::uint8_t, 32>>(rc::gen::arbitrary<std::uint8_t>()),
                      [](const std::array<std::uint8_t, 32>& v) {
                        Hash32 hash;
                        std::transform(v.begin(), v.end(), hash.begin(), [](std::uint8_t b) { return std::byte{b}; });
                        return hash;
                      });
}

template <class T>
rc::Gen<std::optional<T>> sometimes(rc::Gen<T> gen) {
  return rc::gen::oneOf(rc::gen::just(std::optional<T>()),
                        rc::gen::map(std::move(gen), [](T v) { return std::optional<T>(std::move(v)); }));
}

inline rc::Gen<Message> arbitrary_message() {
  using rc::gen::build;
  using rc::gen::set;
  const auto as_message = [](auto gen) {
    return rc::gen::map(std::move(gen), [](auto m) { return Message(std::move(m)); });
  };
  const auto fraction = rc::gen::map(rc::gen::inRange(0, 10'001), [](int v) { return v / 10'000.0; });
  return rc::gen::oneOf(
      as_message(build<BlockImport>(set(&BlockImport::block_hash, arbitrary_hash()),
                                    set(&BlockImport::block_number, arbitrary_integer()),
                                    set(&BlockImport::timestamp, arbitrary_integer()))),
      as_message(build<Vote>(set(&Vote::validator, arbitrary_text()), set(&Vote::block_hash, arbitrary_hash()),
                             set(&Vote::signature, arbitrary_bytes()),
                             set(&Vote::block_number, sometimes(arbitrary_integer())))),
      as_message(build<Transaction>(set(&Transaction::tx_hash, arbitrary_hash()),
                                    set(&Transaction::tx_data, arbitrary_bytes()),
                                    set(&Transaction::expires_at, sometimes(arbitrary_integer())))),
      as_message(build<EntropyShare>(set(&EntropyShare::device_id, arbitrary_text()),
                                     set(&EntropyShare::entropy, arbitrary_bytes()),
                                     set(&EntropyShare::qber, sometimes<double>(fraction)))),
      as_message(build<Gossip>(set(&Gossip::topic, arbitrary_text()), set(&Gossip::data, arbitrary_bytes()))),
      as_message(
          build<Telemetry>(set(&Telemetry::source, arbitrary_text()), set(&Telemetry::data, arbitrary_bytes()))));
}

}  // namespace qh::queue
