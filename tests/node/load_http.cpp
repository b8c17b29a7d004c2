#include <optional>
#include <random>
#include <string>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "http_client.h"
#include "load_workers.h"
#include "node_process.h"

namespace qh::test {
namespace {

std::string submit_params(std::mt19937_64& random, std::string_view durability) {
  const auto bytes = random() % 16 == 0 ? random() % 60'000 : random() % 600;
  std::string params = R"({"message":{"Gossip":{"topic":"soak","data":"0x)" + std::string(2 * bytes, 'a') +
                       R"("}},"durability":")" + std::string(durability) + '"';
  if (random() % 4 == 0) params += R"(,"idempotency_key":"k)" + std::to_string(random()) + '"';
  if (random() % 8 == 0) params += R"(,"expires_at_ms":99999999999999)";
  return params + "}";
}

class Worker {
 public:
  Worker(std::uint16_t port, Account& account, std::uint64_t seed) : port_(port), account_(account), random_(seed) {}

  void run_until(Instant end) {
    while (std::chrono::steady_clock::now() < end) {
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
        return submit("sync");
      case 2:
        return submit("async");
      case 3:
        return batch();
      case 4:
      case 5:
        return pop();
      case 6:
        return lease();
      default:
        return look();
    }
  }

  const boost::json::value* result_of(const boost::json::value& answer) {
    const auto* result = answer.as_object().if_contains("result");
    if (result == nullptr) ++account_.refused;
    return result;
  }
  boost::json::value ask(std::string_view method, std::string_view params) {
    return client_->call(rpc(method, params));
  }

  void submit(std::string_view durability) {
    const auto answer = ask("qssh_submitMessage", submit_params(random_, durability));
    if (result_of(answer) != nullptr) ++account_.stored;
  }
  void batch() {
    std::string messages;
    const auto count = 1 + random_() % 20;
    for (std::uint64_t i = 0; i < count; ++i)
      messages += std::string(i == 0 ? "" : ",") + R"({"Telemetry":{"source":"s","data":"0x00"}})";
    const auto answer = ask("qssh_submitBatch", R"({"durability":"sync","messages":[)" + messages + "]}");
    if (result_of(answer) != nullptr) account_.stored += count;
  }
  void pop() {
    const auto answer = ask("qssh_popMessage", R"({"wait_ms":20})");
    if (const auto* result = result_of(answer); result != nullptr && !result->is_null()) ++account_.ended;
  }
  void lease() {
    const auto answer = ask("qssh_lease", R"({"max":8,"duration_ms":60000})");
    const auto* result = result_of(answer);
    if (result == nullptr || result->as_array().empty()) return;
    std::string leases;
    for (const auto& lease : result->as_array())
      leases += (leases.empty() ? "" : ",") + std::to_string(lease.at("lease").to_number<std::uint64_t>());
    if (random_() % 4 == 0) {
      ask("qssh_extend", R"({"leases":[)" + leases + R"(],"duration_ms":30000})");
      ask("qssh_nack", R"({"leases":[)" + leases + R"(],"delay_ms":1,"error":"soak"})");
      return;
    }
    const auto done = ask("qssh_ack", R"({"leases":[)" + leases + "]}");
    if (const auto* acked = result_of(done)) account_.ended += acked->at("done").to_number<std::uint64_t>();
  }
  void look() {
    switch (random_() % 6) {
      case 0:
        ask("qssh_peek", R"({"count":5})");
        return;
      case 1:
        ask("qssh_getMetrics", "[]");
        return;
      case 2:
        ask("qssh_find", "[1]");
        return;
      case 3:
        ask("qssh_getQueueDepth", R"({"by_kind":true})");
        return;
      case 4:
        client_->call(
            R"([{"jsonrpc":"2.0","method":"nope","id":1},{"jsonrpc":"2.0","method":"qssh_getValidatorName","id":2}])");
        return;
      default:
        client_->call("{\"jsonrpc\":");
        return;
    }
  }

  std::uint16_t port_;
  Account& account_;
  std::mt19937_64 random_;
  std::optional<HttpClient> client_;
};

}  // namespace

void work_over_http(std::uint16_t port, Account& account, std::uint64_t seed, Instant end) {
  Worker(port, account, seed).run_until(end);
}

}  // namespace qh::test
