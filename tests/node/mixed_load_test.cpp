// An hour of everything at once (`./dev soak node`; some seconds in `./dev test`): what was acknowledged is accounted
// for, and memory, descriptors and disk are afterwards what they were.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "http_client.h"
#include "load_workers.h"
#include "node_process.h"

namespace qh::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
Instant now() { return std::chrono::steady_clock::now(); }

constexpr unsigned kValidators = 3, kRounds = 4;

seconds load_time() {
  const char* given = std::getenv("QH_SECONDS");
  return seconds(given == nullptr ? 6 : std::max(4L, std::atol(given)));
}

std::uint64_t count_of(const boost::json::value& answer) {
  return static_cast<std::uint64_t>(answer.at("result").to_number<double>());
}

/// Who looks at everything, and who behaves badly; none of them stores or ends a message.
class Crowd {
 public:
  Crowd(const DevNode& node, std::uint64_t seed) : node_(node), random_(seed) {}

  void run_until(Instant end) {
    while (now() < end) {
      switch (random_() % 7) {
        case 0:
          get("/metrics");
          break;
        case 1:
          get(random_() % 2 == 0 ? "/metrics.json" : "/api/v1/status");
          break;
        case 2:
          get("/readyz?verbose");
          break;
        case 3:
          socket();
          break;
        case 4:
          restart();
          break;
        default:
          nonsense();
          break;
      }
    }
  }

 private:
  void get(const std::string& target) {
    HttpClient client(node_.web_port());
    client.send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_TRUE(client.reply()) << target;
  }
  void socket() {
    HttpClient client(node_.metrics_port());
    client.send(
        "GET /qssh-queue-metrics HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    EXPECT_TRUE(client.reply(true));
    if (random_() % 2 == 0) {
      EXPECT_TRUE(client.text_frame());
    }
  }
  void nonsense() {
    HttpClient client(node_.port(static_cast<unsigned>(random_() % kValidators)));
    std::string bytes(random_() % 3000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    if (random_() % 2 == 0)
      bytes = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n" + bytes.substr(0, 500);
    client.send(bytes);
    if (random_() % 2 == 0) client.end_sending();
  }
  /// A fourth validator comes and goes, and now and then ends by an error.
  void restart() {
    if (random_() % 8 != 0) return;
    HttpClient client(node_.port());
    client.call(rpc("node_addValidator", R"({"name":"dave"})"));
    if (random_() % 2 == 0)
      client.call(rpc("node_stopValidator", R"({"name":"dave"})"));
    else
      client.call(rpc("node_startValidator", R"({"name":"dave"})"));
  }

  const DevNode& node_;
  std::mt19937_64 random_;
};

struct Footprint {
  std::uint64_t resident_bytes = 0, descriptors = 0, disk_bytes = 0, threads = 0;
};

std::uint64_t entries_of(const std::filesystem::path& directory) {
  return static_cast<std::uint64_t>(
      std::distance(std::filesystem::directory_iterator(directory), std::filesystem::directory_iterator()));
}

Footprint footprint(pid_t pid, const std::filesystem::path& data) {
  Footprint found;
  const std::filesystem::path proc = "/proc/" + std::to_string(pid);
  std::uint64_t pages = 0;
  std::ifstream(proc / "statm") >> pages >> pages;
  found.resident_bytes = pages * 4096;
  found.descriptors = entries_of(proc / "fd");
  found.threads = entries_of(proc / "task");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data)) {
    std::error_code gone;
    if (entry.is_regular_file(gone)) found.disk_bytes += entry.file_size(gone);
  }
  return found;
}

class MixedLoad : public ::testing::Test {
 protected:
  /// The fourth validator is at rest when it is stopped, whatever the crowd did with it last.
  void stop_dave() {
    HttpClient client(node_.port());
    client.call(rpc("node_addValidator", R"({"name":"dave"})"));
    client.call(rpc("node_stopValidator", R"({"name":"dave"})"));
    const auto until = now() + kPatience;
    for (bool stopped = false; !stopped;) {
      ASSERT_LT(now(), until) << "dave does not stop";
      const auto listed = client.call(rpc("node_listValidators"));
      for (const auto& one : listed.at("result").as_array())
        stopped = stopped || (one.at("name") == "dave" && one.at("state") == "stopped");
    }
  }

  /// Empties every queue, and checks that what was stored has been ended, each message once.
  void settle() {
    ASSERT_NO_FATAL_FAILURE(stop_dave());
    for (unsigned v = 0; v < kValidators; ++v) {
      HttpClient client(node_.port(v));
      auto& account = accounts_[v];
      ASSERT_NO_FATAL_FAILURE(take_all(node_.binary_port(v), account));
      const auto purged = client.call(rpc("qssh_purgeDeadLetters", R"({"all":true})"));
      account.ended += purged.at("result").at("purged").to_number<std::uint64_t>();
      EXPECT_EQ(count_of(client.call(rpc("qssh_getQueueDepth"))), 0U);
      EXPECT_EQ(account.stored, account.ended) << "validator " << v;
    }
  }

  /// Until nothing of the load is left: keys are over, segments recycled, sockets closed. Then the smallest of some
  /// looks, since a scrape or a compaction may be under way in any of them.
  Footprint at_rest() {
    const auto until = now() + seconds(30);
    Footprint last = footprint(node_.process().pid(), data_.path());
    for (int same = 0; same < 10 && now() < until;) {
      HttpClient(node_.port()).call(rpc("qssh_getValidatorName"));
      HttpClient pause(node_.port());  // 100 ms that the node keeps, without a sleep of ours
      pause.call(rpc("qssh_popMessage", R"({"wait_ms":100,"kinds":["Vote"]})"));
      const auto next = footprint(node_.process().pid(), data_.path());
      same = next.descriptors == last.descriptors && next.disk_bytes == last.disk_bytes ? same + 1 : 0;
      last = next;
    }
    return last;
  }

  void load(Instant end) {
    std::vector<std::thread> threads;
    std::uint64_t seed = ++rounds_ * 1000;
    for (unsigned i = 0; i < 3 * kValidators; ++i) {
      const auto at = i % kValidators;
      threads.emplace_back([this, at, end, s = ++seed, binary = i < kValidators] {
        if (binary) return work_over_binary(node_.binary_port(at), accounts_[at], s, end);
        work_over_http(node_.port(at), accounts_[at], s, end);
      });
    }
    for (int i = 0; i < 2; ++i) threads.emplace_back([this, end, s = ++seed] { Crowd(node_, s).run_until(end); });
    node_.process().ignore_until(end);
    for (auto& thread : threads) thread.join();
  }

  TempDir data_;
  // Segments of one size: those that grow with the load would hide what is left behind.
  DevNode node_{{"--queue-idempotency-window", "1s", "--queue-segment-bytes-max", "4MiB", "--binary-port", "9955"},
                data_.path()};
  std::array<Account, kValidators> accounts_;
  std::uint64_t rounds_ = 0;
};

TEST_F(MixedLoad, LeavesMemoryDescriptorsAndDiskWhereTheyWere) {
  std::vector<Footprint> rests;
  for (unsigned round = 0; round < kRounds; ++round) {
    load(now() + load_time() / kRounds);
    settle();
    if (HasFailure()) return;
    rests.push_back(at_rest());
    const auto& rest = rests.back();
    std::printf("round %u: %lu stored, %lu refused; %lu MiB resident, %lu descriptors, %lu threads, %lu MiB on disk\n",
                round + 1, accounts_[0].stored + accounts_[1].stored + accounts_[2].stored,
                accounts_[0].refused + accounts_[1].refused + accounts_[2].refused, rest.resident_bytes >> 20,
                rest.descriptors, rest.threads, rest.disk_bytes >> 20);
  }
  // The first two rounds are the warm-up: pools and caches grow to the load, and a fourth validator joins.
  const auto& last = rests.back();
  const auto warm = [&](std::uint64_t Footprint::*what) { return std::max(rests[0].*what, rests[1].*what); };
  EXPECT_LE(last.descriptors, warm(&Footprint::descriptors) + 4);  // a spare segment, more or less, of each validator
  EXPECT_EQ(last.threads, warm(&Footprint::threads));
  EXPECT_LE(last.resident_bytes, warm(&Footprint::resident_bytes) * 11 / 10 + (16U << 20));
  EXPECT_LE(last.disk_bytes, (kValidators + 1) * (4 * (4U << 20) + (1U << 20)));  // the queue's own promise, when empty
  EXPECT_EQ(node_.process().stop(), 0);
}

}  // namespace
}  // namespace qh::test
