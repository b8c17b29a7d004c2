// Three validators in one process, all queues flooded at once, one stalled, one ended by an error: the others' order
// and metrics are unharmed, and nobody loses what was acknowledged.
#include <algorithm>
#include <atomic>
#include <functional>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "http_client.h"
#include "node_process.h"

namespace qh::test {
namespace {

namespace json = boost::json;

/// Numbered durable submits to one validator, one after the other, until it is told to end.
class Flood {
 public:
  explicit Flood(std::uint16_t port) : port_(port), thread_([this] { run(); }) {}
  ~Flood() { end(); }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

  std::size_t acknowledged() const { return count_; }
  /// Until so many are acknowledged.
  bool reaches(std::size_t count) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (count_ < count) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
  /// The numbers that were acknowledged.
  const std::vector<std::uint64_t>& end() {
    ending_ = true;
    if (thread_.joinable()) thread_.join();
    return acknowledged_;
  }
  std::size_t refused() const { return refused_; }
  std::size_t cut_off() const { return cut_off_; }

 private:
  void run() {
    HttpClient client(port_);
    for (std::uint64_t number = 1; !ending_; ++number) {
      const auto body = rpc("qssh_submitMessage", R"({"message":{"Gossip":{"topic":")" + std::to_string(number) +
                                                      R"(","data":"0x"}},"durability":"sync"})");
      auto reply = client.connected() && client.send(post(body)) ? client.reply() : std::nullopt;
      if (!reply) {
        ++cut_off_;
        client = HttpClient(port_);
        continue;
      }
      if (!reply->json().as_object().contains("result")) {
        ++refused_;
        continue;
      }
      acknowledged_.push_back(number);
      ++count_;
    }
  }

  std::uint16_t port_;
  std::atomic<bool> ending_ = false;
  std::atomic<std::size_t> count_ = 0, refused_ = 0, cut_off_ = 0;
  std::vector<std::uint64_t> acknowledged_;
  std::thread thread_;  // last
};

json::value result_of(HttpClient& client, std::string_view method, std::string_view params = "[]") {
  const auto reply = client.call(rpc(method, params));
  const auto* result = reply.is_object() ? reply.as_object().if_contains("result") : nullptr;
  if (result != nullptr) return *result;
  throw std::runtime_error(std::string(method) + ": " + json::serialize(reply));  // nothing that follows makes sense
}

/// The numbers in the queue in the order in which they are handed out; each is handed out once.
std::vector<std::uint64_t> drain(std::uint16_t port) {
  std::vector<std::uint64_t> numbers;
  HttpClient client(port);
  for (;;) {
    const auto leased = result_of(client, "qssh_lease", R"({"max":1000})").as_array();
    if (leased.empty()) return numbers;
    json::array leases;
    for (const auto& one : leased) {
      const auto& topic = one.at("message").at("Gossip").at("topic").as_string();
      numbers.push_back(std::stoull(std::string(topic)));
      leases.push_back(one.at("lease"));
    }
    const auto done = result_of(client, "qssh_ack", "[" + json::serialize(leases) + "]").at("done");
    EXPECT_EQ(done, leases.size());
  }
}

json::value metrics_of(std::uint16_t port) {
  HttpClient client(port);
  return result_of(client, "qssh_getMetrics");
}

json::object status_of(std::uint16_t port, std::string_view name) {
  HttpClient client(port);
  const auto list = result_of(client, "node_listValidators");
  for (const auto& one : list.as_array()) {
    if (one.at("name").as_string() == name) return one.as_object();
  }
  ADD_FAILURE() << name << " is not listed";
  return {};
}

/// Strictly ascending, with everything that was acknowledged, and at most `unsure` more: those that were cut off.
void expect_in_order(const std::vector<std::uint64_t>& there, const std::vector<std::uint64_t>& acknowledged,
                     std::size_t unsure, std::string_view name) {
  EXPECT_TRUE(std::adjacent_find(there.begin(), there.end(), std::greater_equal()) == there.end())
      << name << ": out of order, or twice";
  EXPECT_TRUE(std::includes(there.begin(), there.end(), acknowledged.begin(), acknowledged.end())) << name << ": lost";
  EXPECT_LE(there.size(), acknowledged.size() + unsure) << name;
}

void expect_unharmed(std::uint16_t port, std::size_t acknowledged, std::string_view name) {
  const auto metrics = metrics_of(port);
  EXPECT_EQ(metrics.at("queue_depth"), acknowledged) << name;
  EXPECT_EQ(metrics.at("counters").at("submitted_sync"), acknowledged) << name;
  EXPECT_EQ(metrics.at("refusals").at("total"), 0) << name;
  EXPECT_GT(metrics.at("msg_rate").to_number<double>(), 0) << name;
  EXPECT_EQ(status_of(port, name).at("restarts"), 0) << name;
}

TEST(Isolation, AStallAndAnErrorHarmNobodyElse) {
  DevNode node({"--allow-faults"});
  const auto alice_port = node.port(0), bob_port = node.port(1), charlie_port = node.port(2);
  Flood alice(alice_port), bob(bob_port), charlie(charlie_port);
  for (const auto* flood : {&alice, &bob, &charlie}) ASSERT_TRUE(flood->reaches(100));

  HttpClient(charlie_port).call(rpc("node_injectFault", R"({"fault":"stall","duration_ms":8000})"));
  HttpClient(bob_port).call(rpc("node_injectFault", R"({"fault":"error"})"));
  const auto before = alice.acknowledged(), stalled_at = charlie.acknowledged();
  ASSERT_TRUE(alice.reaches(before + 300)) << "the others go on";
  EXPECT_LE(charlie.acknowledged(), stalled_at + 2) << "alice was not tried beside a stalled one";
  EXPECT_EQ(points_lost_but_by_the_disk(metrics_of(alice_port)), 0);

  ASSERT_TRUE(bob.reaches(bob.acknowledged() + 100)) << "it was started again";
  ASSERT_TRUE(charlie.reaches(stalled_at + 100)) << "it goes on behind its stall";
  const auto alice_numbers = alice.end(), bob_numbers = bob.end(), charlie_numbers = charlie.end();

  EXPECT_EQ(alice.cut_off() + alice.refused(), 0U);
  EXPECT_EQ(charlie.cut_off() + charlie.refused(), 0U) << "a stall is a delay";
  EXPECT_GT(bob.cut_off(), 0U) << "its connections ended with it";
  expect_unharmed(alice_port, alice_numbers.size(), "alice");
  expect_unharmed(charlie_port, charlie_numbers.size(), "charlie");
  EXPECT_EQ(status_of(bob_port, "bob").at("restarts"), 1);
  expect_in_order(drain(alice_port), alice_numbers, 0, "alice");
  expect_in_order(drain(bob_port), bob_numbers, bob.cut_off(), "bob");
  expect_in_order(drain(charlie_port), charlie_numbers, 0, "charlie");
  EXPECT_EQ(node.process().stop(), 0);
}

}  // namespace
}  // namespace qh::test
