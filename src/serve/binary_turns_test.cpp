// What a connection may cost the others of the binary port: time of the loop, and memory.

#include <fstream>
#include <future>
#include <list>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "serve/binary_bed.h"

namespace qh::serve {
namespace {

/// "VmHWM", the most that was resident since it was reset, or "VmRSS"; in bytes.
std::size_t resident(std::string_view which) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(which)) return std::stoull(line.substr(which.size() + 1)) << 10;
  }
  return 0;
}

TEST(BinaryTurnsThreads, AnswersAreBoundedAlsoBeforeTheFirstOfThemGoesOut) {
  constexpr std::size_t kClients = 400, kAnswerBytes = 2'000'000;
  Served served({.buffered_bytes = 3'000'000});
  fill_queue(served.port());
  std::list<Client> clients;
  for (std::size_t i = 0; i < kClients; ++i) clients.emplace_back(served.port());
  std::promise<void> all_have_asked;
  std::thread holds([&] { served.on_loop([&] { all_have_asked.get_future().wait(); }); });
  for (const auto& client : clients) client.send(peeks(1));
  const auto before = resident("VmRSS");
  std::ofstream("/proc/self/clear_refs") << "5";
  all_have_asked.set_value();
  holds.join();
  while (!clients.front().hears_within(0)) served.on_loop([] {});
  served.on_loop([] {});
  EXPECT_LT(resident("VmHWM"), before + kClients * kAnswerBytes / 2);
}

TEST(BinaryTurnsThreads, AnAnswerThatHasGoneHasNoMemory) {
  constexpr std::size_t kClients = 400, kAnswerBytes = 2'000'000;
  const Served served({});
  fill_queue(served.port());
  std::list<Client> clients;
  for (std::size_t i = 0; i < kClients; ++i) clients.emplace_back(served.port(), 64 << 10);
  const auto before = resident("VmRSS");
  for (const auto& client : clients) {
    client.send(peeks(1));
    ASSERT_EQ(client.reads_bytes(kAnswerBytes), kAnswerBytes);
    client.send(kName);
    ASSERT_TRUE(client.reads(kAnswer));
  }
  EXPECT_LT(resident("VmRSS"), before + kClients * kAnswerBytes / 2);
}

/// Connections that always have more to ask, of a port whose loop the test turns.
class Flood {
 public:
  Flood(Port& port, int peers) : port_(port) {
    for (int i = 0; i < 4'000; ++i) asks_ += kName;
    for (int i = 0; i < peers; ++i) {
      const auto& peer = peers_.emplace_back(port.port()).peer;
      peer.send(preface());
      while (port_.loop().poll() != 0 || peer.drain() == 0) {
      }
    }
  }
  /// They ask, the loop carries out one handler, and they read: how many bytes.
  std::size_t turn() {
    for (auto& asking : peers_) ask(asking);
    (void)port_.loop().poll_one();
    std::size_t all = 0;
    for (const auto& asking : peers_) all += asking.peer.drain();
    return all;
  }

 private:
  struct Asking {
    explicit Asking(std::uint16_t port) : peer(port) {}
    Peer peer;
    std::size_t at = 0;
  };
  void ask(Asking& asking) const {
    for (;;) {
      const auto sent = asking.peer.send_some(std::string_view(asks_).substr(asking.at));
      if (sent == 0) return;
      asking.at = (asking.at + sent) % asks_.size();
    }
  }

  Port& port_;
  std::list<Asking> peers_;
  std::string asks_;
};

std::size_t answer_bytes() {
  Port port({});
  const Peer peer(port.port());
  peer.send(preface() + kName);
  while (!peer.hears_within(0)) (void)port.loop().poll();
  return peer.drain() - preface().size();
}

TEST(BinaryTurns, OneThatAlwaysAsksHasItsShareOfATurnAndNoMore) {
  constexpr std::size_t kReadBytes = 2 * (16U << 10);
  const auto most = 2 * kReadBytes / kName.size() * answer_bytes();  // when it is ready, and behind a flush
  Port port({});
  Flood flood(port, 1);
  constexpr std::size_t kTurns = 200;
  std::size_t all = 0;
  for (std::size_t i = 0; i < kTurns; ++i) all += flood.turn();
  EXPECT_LE(all, kTurns * most);
  EXPECT_GT(all, 10 * most) << "it goes on";
}

}  // namespace
}  // namespace qh::serve
