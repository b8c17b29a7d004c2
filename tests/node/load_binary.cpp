#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "binary_client.h"
#include "load_workers.h"
#include "queue/message.h"

namespace qh::test {
namespace {

using namespace rpc::binary;  // NOLINT(google-build-using-namespace): this file is about nothing else

class Worker {
 public:
  Worker(std::uint16_t port, Account& account, std::uint64_t seed) : port_(port), account_(account), random_(seed) {}

  void run_until(Instant end) {
    while (std::chrono::steady_clock::now() < end && !::testing::Test::HasFailure()) {
      if (!client_ || random_() % 200 == 0) client_.emplace(port_);
      step();
    }
    client_.reset();
  }

 private:
  void step() {
    switch (random_() % 8) {
      case 0:
      case 1:
        return submits();
      case 2:
        return batch();
      case 3:
        return pop();
      case 4:
        return pops();
      case 5:
        return give_up_a_wait();
      case 6:
        return lease();
      default:
        return random_() % 8 == 0 ? nonsense() : look();
    }
  }

  Bytes message() {
    const auto bytes = random_() % 16 == 0 ? random_() % 60'000 : random_() % 600;
    return queue::encode(queue::Gossip{"soak", Bytes(bytes, std::byte{7})}).value();
  }
  Submit submit_of(const Bytes& message, const std::string& key) {
    Submit submit{.message = message};
    submit.durability = random_() % 2 == 0 ? queue::Durability::kSync : queue::Durability::kAsync;
    if (random_() % 4 == 0) submit.idempotency_key = key;
    if (random_() % 8 == 0) submit.expires_at_ms = 99'999'999'999'999;
    return submit;
  }

  /// The next answer, which there is; its body when it is no error.
  std::optional<Bytes> result() {
    auto answer = client_->answer();
    EXPECT_TRUE(answer) << "no answer";
    if (answer && answer->ok()) return std::move(answer->body);
    ++account_.refused;
    return std::nullopt;
  }

  void submits() {
    Bytes out;
    const auto count = 1 + random_() % 40;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto body = message();
      const auto key = "b" + std::to_string(random_());
      put_request(out, i + 1, submit_of(body, key));
    }
    ASSERT_TRUE(client_->send(out));
    for (std::uint64_t i = 0; i < count; ++i) {
      if (result()) ++account_.stored;
    }
  }
  void batch() {
    const auto body = message();
    std::vector<Submit> messages(1 + random_() % 20, Submit{.message = body});
    Bytes out;
    put_request(out, 1, SubmitBatch{messages, queue::Durability::kSync});
    ASSERT_TRUE(client_->send(out));
    if (const auto ids = result()) account_.stored += read_message_ids(*ids)->size();
  }
  void count_taken() {
    if (const auto body = result(); body && !body->empty()) ++account_.ended;
  }
  void pop() {
    Bytes out;
    put_request(out, 1, Pop{.wait_ms = 20});
    ASSERT_TRUE(client_->send(out));
    count_taken();
  }
  void pops() {
    Bytes out;
    const auto count = 1 + random_() % 100;  // so that more is taken than is stored
    for (std::uint64_t i = 0; i < count; ++i) put_request(out, i + 1, Pop{});
    ASSERT_TRUE(client_->send(out));
    for (std::uint64_t i = 0; i < count; ++i) count_taken();
  }
  void give_up_a_wait() {
    Bytes out;
    put_request(out, 7, Pop{.wait_ms = 60'000});
    put_cancel(out, 7);
    ASSERT_TRUE(client_->send(out));
    count_taken();  // it may have come before
  }
  void lease() {
    Bytes out;
    put_request(out, 1, Lease{.max = 8, .duration_ms = 60'000});
    ASSERT_TRUE(client_->send(out));
    const auto body = result();
    if (!body) return;
    std::vector<queue::LeaseId> leases;
    const auto leased = read_leased(*body).value();
    leases.reserve(leased.size());
    for (const auto& one : leased) leases.push_back(one.lease);
    if (leases.empty()) return;
    out.clear();
    const bool back = random_() % 4 == 0;
    if (back)
      put_request(out, 2, Nack{.leases = leases, .delay_ms = 1, .error = "soak"});
    else
      put_request(out, 2, Ack{leases});
    ASSERT_TRUE(client_->send(out));
    const auto done = result();
    if (done && !back) account_.ended += read_outcome(*done)->done;
  }
  void look() {
    Bytes out;
    put_json_request(out, 1, 8, R"({"count":5})");
    ASSERT_TRUE(client_->send(out));
    result();
  }
  /// On a connection of its own, which the node ends.
  void nonsense() {
    BinaryClient other(port_, random_() % 2 == 0 ? BinaryClient::Greets::kYes : BinaryClient::Greets::kNo);
    Bytes bytes(16 + random_() % 3000);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random_());
    (void)other.send(bytes);
    other.end_sending();
  }

  std::uint16_t port_;
  Account& account_;
  std::mt19937_64 random_;
  std::optional<BinaryClient> client_;
};

}  // namespace

void work_over_binary(std::uint16_t port, Account& account, std::uint64_t seed, Instant end) {
  Worker(port, account, seed).run_until(end);
}

void take_all(std::uint16_t port, Account& account) {
  constexpr std::uint64_t kAtOnce = 500;
  BinaryClient client(port);
  for (std::uint64_t taken = kAtOnce; taken != 0;) {
    Bytes out;
    for (std::uint64_t id = 1; id <= kAtOnce; ++id) put_request(out, id, Pop{.wait_ms = 200});
    ASSERT_TRUE(client.send(out));
    taken = 0;
    for (std::uint64_t id = 1; id <= kAtOnce; ++id) {
      const auto answer = client.answer();
      ASSERT_TRUE(answer && answer->ok());
      if (!answer->body.empty()) ++taken;
    }
    account.ended += taken;
  }
}

}  // namespace qh::test
