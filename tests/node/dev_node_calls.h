// tests/node/dev_node_calls.h - what tests ask of a node whose validators come, go and fail.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "http_client.h"
#include "node_process.h"

namespace qh::test {

/// Until it is so, within the tests' patience.
template <class Condition>
bool becomes(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (condition()) return true;
  }
  return false;
}

inline std::string get(std::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
}

/// Nothing (status 0) where nobody answers.
inline HttpReply fetch(std::uint16_t port, std::string_view target) {
  HttpClient client(port);
  if (!client.connected() || !client.send(get(target))) return {};
  return client.reply().value_or(HttpReply());
}

inline std::string of_validator(std::string_view name) { return R"({"name":")" + std::string(name) + R"("})"; }

/// What node_listValidators says of it, over a connection that is open already; null: it is not there.
inline boost::json::value listed(HttpClient& client, std::string_view name) {
  const auto all = client.call(rpc("node_listValidators"));
  for (const auto& one : all.at("result").as_array()) {
    if (one.at("name").as_string() == name) return one;
  }
  return nullptr;
}

inline ::testing::AssertionResult gets(HttpClient& client, std::string_view name, std::string_view state) {
  boost::json::value last;
  const bool so = becomes([&] {
    last = listed(client, name);
    return last.is_object() && last.at("state").as_string() == state;
  });
  if (so) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << name << " is " << boost::json::serialize(last);
}

inline std::string durable_gossip(std::size_t bytes = 1) {
  return rpc("qssh_submitMessage", R"({"message":{"Gossip":{"topic":"t","data":"0x)" + std::string(2 * bytes, '0') +
                                       R"("}},"durability":"sync"})");
}

}  // namespace qh::test
