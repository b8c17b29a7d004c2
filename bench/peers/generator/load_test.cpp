#include "bench/peers/generator/load.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>
#include <thread>

#include <gtest/gtest.h>

namespace qh::bench {
namespace {

/// Answers each put of the Redis protocol with `answer`, on port() until it is destroyed.
class FakeServer {
 public:
  explicit FakeServer(std::string answer, std::uint64_t cut_every = 0)
      : answer_(std::move(answer)), cut_every_(cut_every) {
    make_redis(1)->start(Work::kPut, request_);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    EXPECT_EQ(::pipe(stop_.data()), 0);
    thread_ = std::thread([this] { serve(); });
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;
  ~FakeServer() {
    ::close(stop_[1]);
    thread_.join();
    for (const auto& [fd, pending] : pending_) ::close(fd);
    ::close(stop_[0]);
    ::close(listener_);
  }

  std::uint16_t port() const { return port_; }
  std::uint64_t requests() const { return requests_.load(); }

 private:
  void serve() {
    for (;;) {
      std::vector<pollfd> all{{stop_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
      for (const auto& [fd, pending] : pending_) all.push_back({fd, POLLIN, 0});
      ::poll(all.data(), all.size(), -1);
      if (all[0].revents != 0) return;
      if (all[1].revents != 0) pending_[::accept(listener_, nullptr, nullptr)] = 0;
      for (std::size_t i = 2; i < all.size(); ++i) {
        if (all[i].revents != 0) on_readable(all[i].fd);
      }
    }
  }
  void on_readable(int fd) {
    std::array<char, 4096> bytes{};
    const auto got = ::recv(fd, bytes.data(), bytes.size(), 0);
    if (got <= 0) return close_connection(fd);
    pending_[fd] += static_cast<std::size_t>(got);
    for (; pending_[fd] >= request_.size(); pending_[fd] -= request_.size()) {
      if (++requests_ % (cut_every_ == 0 ? ~std::uint64_t{0} : cut_every_) == 0) return close_connection(fd);
      ::send(fd, answer_.data(), answer_.size(), MSG_NOSIGNAL);
    }
  }
  void close_connection(int fd) {
    ::close(fd);
    pending_.erase(fd);
  }

  std::string answer_, request_;
  std::uint64_t cut_every_;
  int listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
  std::array<int, 2> stop_{};
  std::map<int, std::size_t> pending_;  ///< bytes of a request that is not whole
  std::atomic<std::uint64_t> requests_ = 0;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

/// Ends by its number of messages; the time is a deadline.
Plan plan_for(const FakeServer& server, unsigned clients) {
  Plan plan;
  plan.port = server.port();
  plan.clients = clients;
  plan.seconds = 100;
  plan.messages_max = 1000;
  return plan;
}

TEST(GeneratorsThreads, AskForAsManyMessagesAsThereAre) {
  for (const auto generator : {blocking_clients, event_loop}) {
    for (const unsigned clients : {1U, 7U}) {
      FakeServer server(":1\r\n");
      const auto seen = generator(plan_for(server, clients));
      ASSERT_TRUE(seen) << seen.error().to_string();
      EXPECT_EQ(seen->samples.size(), 1000U);
      EXPECT_EQ(server.requests(), 1000U);
      EXPECT_LT(seen->end_ns - seen->begin_ns, 100'000'000'000) << "the end is when nothing was left";
    }
  }
}

TEST(GeneratorsThreads, AnAnswerThatWasNotExpectedEndsTheRun) {
  for (const auto generator : {blocking_clients, event_loop}) {
    FakeServer server("-MISCONF disk\r\n");
    const auto seen = generator(plan_for(server, 3));
    ASSERT_FALSE(seen);
    EXPECT_NE(seen.error().to_string().find("MISCONF"), std::string::npos) << seen.error().to_string();
  }
}

TEST(GeneratorsThreads, AConnectionThatIsCutEndsTheRun) {
  for (const auto generator : {blocking_clients, event_loop}) {
    FakeServer server(":1\r\n", 500);
    EXPECT_FALSE(generator(plan_for(server, 3)));
  }
}

Offer offer_for(const FakeServer& server, bool go_on) {
  Offer offer;
  offer.plan = plan_for(server, 4);
  offer.plan.warm_up_s = 0;
  offer.plan.seconds = 0.5;
  offer.rate = 1000;
  offer.go_on = go_on;
  return offer;
}

TEST(OfferedLoadThreads, EveryRequestThatWasDueIsAccountedFor) {
  FakeServer server(":1\r\n", 20);
  const auto offered = offered_load(offer_for(server, true));
  ASSERT_TRUE(offered) << offered.error().to_string();
  EXPECT_EQ(offered->due, 500U);
  EXPECT_GT(offered->lost, 0U);
  EXPECT_EQ(offered->seen.samples.size() + offered->lost + offered->not_sent, offered->due);
}

TEST(OfferedLoadThreads, ACutEndsTheRunUnlessItIsToGoOn) {
  FakeServer server(":1\r\n", 10);
  EXPECT_FALSE(offered_load(offer_for(server, false)));
}

constexpr std::int64_t kSecondNs = 1'000'000'000;

TEST(Summary, TheWarmUpAndWhatEndsLateAreCountedButNotMeasured) {
  Seen seen;
  seen.end_ns = 10 * kSecondNs;
  for (int i = 1; i <= 12; ++i) seen.samples.push_back({i * kSecondNs, i * 1'000'000});
  const auto summary = summarize(seen, 1.5, 16);
  EXPECT_EQ(summary.messages, 12U * 16);
  EXPECT_DOUBLE_EQ(summary.seconds, 8.5);
  EXPECT_DOUBLE_EQ(summary.rate, 9 * 16 / 8.5);  // those of seconds 2 to 10
  EXPECT_DOUBLE_EQ(summary.p50_us, 6000);
  EXPECT_DOUBLE_EQ(summary.p99_us, 10000);
}

TEST(Summary, OfAShortRunAFifthIsTheWarmUp) {
  Seen seen;
  seen.end_ns = kSecondNs;
  seen.samples = {{kSecondNs / 10, 1000}, {kSecondNs / 2, 3000}};
  const auto summary = summarize(seen, 5, 1);
  EXPECT_DOUBLE_EQ(summary.seconds, 0.8);
  EXPECT_DOUBLE_EQ(summary.rate, 1 / 0.8);
  EXPECT_DOUBLE_EQ(summary.p50_us, 3);
}

TEST(Summary, OfNothingIsNothing) {
  EXPECT_EQ(summarize({}, 1, 1).messages, 0U);
  EXPECT_EQ(summarize({}, 1, 1).rate, 0);
}

}  // namespace
}  // namespace qh::bench
