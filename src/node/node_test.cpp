// A node whose validators have no ports: what happens when it stops.
#include "node/node.h"

#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>

#include <gtest/gtest.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "node/back_off.h"

namespace qh::node {
namespace {

namespace asio = boost::asio;
using State = ValidatorState;

/// Takes nobody in. The loop of the newest validator is there for the test, from its start to its end.
class NoFront final : public Front {
 public:
  Result<void> bind() override { return {}; }
  Result<void> listen(rpc::Dispatcher&) override { return {}; }
  void flush() override {}
  void begin_stop() override {}
  void finish(UniqueFunction<void()> done) override { done(); }
};

class NodeThreads : public ::testing::Test {
 protected:
  NodeThreads() {
    std::string path = (std::filesystem::temp_directory_path() / "qh-node-test-XXXXXX").string();
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    directory_ = path;
    NodeOptions options;
    options.validators.push_back(validator("alice"));
    options.make = [this](const std::string& name, std::uint16_t) -> Result<ValidatorOptions> {
      return validator(name);
    };
    node_.emplace(
        loop_, std::move(options),
        [this](asio::io_context& loop, const FrontSettings&) {
          newest_ = &loop;
          return std::make_unique<NoFront>();
        },
        [] {});
    EXPECT_TRUE(node_->bind().empty());
    node_->start();
    EXPECT_TRUE(turn_until(State::kRunning));
  }
  ~NodeThreads() override {
    node_->request_stop();
    EXPECT_TRUE(turn_until(State::kStopped));
    node_.reset();
    std::filesystem::remove_all(directory_);
  }

  ValidatorOptions validator(const std::string& name) const {
    ValidatorOptions options;
    options.name = name;
    options.directory = directory_ / name;
    return options;
  }
  State state() const { return node_->report().front().state; }
  bool turn_until(State wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (state() != wanted && std::chrono::steady_clock::now() < deadline) {
      loop_.restart();
      loop_.run_one_for(std::chrono::milliseconds(100));
    }
    return state() == wanted;
  }
  void end_alice_by_an_error() const {
    asio::post(*newest_, [] { throw std::runtime_error("a test's"); });
  }

  asio::io_context loop_{1};
  asio::io_context* newest_ = nullptr;
  std::filesystem::path directory_;
  std::optional<Node> node_;
};

TEST_F(NodeThreads, NothingIsAddedOrStartedOnceItStops) {
  node_->request_stop();
  const auto added = node_->add("bob", 0);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, Errc::kShuttingDown);
  EXPECT_TRUE(turn_until(State::kStopped));
  EXPECT_EQ(node_->report().size(), 1U);
  const auto started = node_->start("alice");
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Errc::kShuttingDown);
}

TEST_F(NodeThreads, ARestartThatIsDueWhenTheNodeStopsDoesNotHappen) {
  end_alice_by_an_error();
  ASSERT_TRUE(turn_until(State::kRestarting));
  // The loop stands still until the restart is due. Then both are found in the same round, the stop in front.
  const auto due = std::chrono::steady_clock::now() + BackOff::kMin;
  while (std::chrono::steady_clock::now() <= due) {
  }
  asio::post(loop_, [this] { node_->request_stop(); });
  loop_.restart();
  while (loop_.poll_one() != 0) {
  }
  EXPECT_EQ(state(), State::kStopped);
}

}  // namespace
}  // namespace qh::node
