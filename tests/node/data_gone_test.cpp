// A validator's data are taken away, while it runs or while it is stopped: nothing is made in their place.
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "dev_node_calls.h"

namespace qh::test {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

/// What the node that runs there makes, renames or removes meanwhile is no error.
void remove_from_under_it(const fs::path& directory) {
  EXPECT_TRUE(becomes([&] {
    std::error_code error;
    fs::remove_all(directory, error);
    return !fs::exists(directory);
  }));
}

/// bob has one message.
class DataGone : public ::testing::Test {
 protected:
  DataGone() { EXPECT_TRUE(bob().call(durable_gossip()).as_object().contains("result")); }

  HttpClient bob() { return HttpClient(node_.port(1)); }
  void start(std::string_view name) { alice_.call(rpc("node_startValidator", of_validator(name))); }
  void stop(std::string_view name) {
    alice_.call(rpc("node_stopValidator", of_validator(name)));
    ASSERT_TRUE(gets(alice_, name, "stopped"));
  }
  std::string error_of(std::string_view name) { return json::serialize(listed(alice_, name).at("error")); }
  json::value depth_of_bob() { return bob().call(rpc("qssh_getQueueDepth")).at("result"); }

  TempDir directory_;
  fs::path data_ = directory_.path() / "data", bobs_ = data_ / "bob", elsewhere_ = directory_.path() / "elsewhere";
  DevNode node_{{"--allow-faults"}, data_};
  HttpClient alice_{node_.port()};
};

TEST_F(DataGone, AStartOfOneThatRanBeforeMakesNoNewQueue) {
  stop("bob");
  fs::rename(bobs_, elsewhere_);
  for (const bool mount_point : {false, true}) {
    if (mount_point) fs::create_directories(bobs_ / "queue");  // as the disk was mounted over it
    start("bob");
    ASSERT_TRUE(gets(alice_, "bob", "failed"));
    EXPECT_TRUE(contains(error_of("bob"), "the data of bob in " + (bobs_ / "queue").string() +
                                              " are gone: there is no queue. Nothing was changed"))
        << error_of("bob");
    EXPECT_TRUE(contains(error_of("bob"), "node_startValidator")) << error_of("bob");
    EXPECT_EQ(fs::exists(bobs_), mount_point);
    EXPECT_TRUE(!mount_point || fs::is_empty(bobs_ / "queue"));
    EXPECT_EQ(fetch(node_.web_port(), "/readyz").status, 503);
    EXPECT_EQ(listed(alice_, "bob").at("restarts"), 0) << "it is not tried again and again";
  }
  EXPECT_TRUE(node_.process().says("bob: cannot start: the data of bob in ")) << node_.process().err();
  fs::remove_all(bobs_);
  fs::rename(elsewhere_, bobs_);
  start("bob");
  ASSERT_TRUE(gets(alice_, "bob", "running"));
  EXPECT_EQ(depth_of_bob(), 1);
  EXPECT_EQ(node_.process().stop(), 0) << "it is over: " << node_.process().err();
}

TEST_F(DataGone, ARestartAfterAnErrorMakesNoNewQueue) {
  auto client = bob();
  client.call(rpc("qssh_getQueueDepth"));
  fs::rename(bobs_, elsewhere_);
  EXPECT_TRUE(client.send(post(rpc("node_injectFault", R"({"fault":"error"})"))));  // answered or not: it ends
  ASSERT_TRUE(gets(alice_, "bob", "failed"));
  EXPECT_TRUE(contains(error_of("bob"), "are gone")) << error_of("bob");
  EXPECT_FALSE(fs::exists(bobs_));
  EXPECT_EQ(node_.process().stop(), 1) << node_.process().err();
}

/// As disks that were mounted the wrong way round.
TEST_F(DataGone, AStartOnAnotherQueueIsRefused) {
  stop("bob");
  stop("charlie");
  fs::rename(bobs_, elsewhere_);
  fs::copy(data_ / "charlie", bobs_, fs::copy_options::recursive);
  const auto before = fs::last_write_time(bobs_ / "queue");
  start("bob");
  ASSERT_TRUE(gets(alice_, "bob", "failed"));
  EXPECT_TRUE(contains(error_of("bob"), "the data of bob in " + (bobs_ / "queue").string() +
                                            " are gone: what is there is another queue, that of charlie (id "))
      << error_of("bob");
  EXPECT_TRUE(contains(error_of("bob"), "Put that one back (mount the right disk), then call node_startValidator"))
      << error_of("bob");
  EXPECT_EQ(fs::last_write_time(bobs_ / "queue"), before) << "not even a lock was made";
  EXPECT_EQ(listed(alice_, "bob").at("restarts"), 0) << "it is not tried again and again";
  EXPECT_EQ(fetch(node_.web_port(), "/readyz").status, 503);
  fs::remove_all(bobs_);
  fs::copy(elsewhere_, bobs_, fs::copy_options::recursive);  // a copy is as good
  start("bob");
  ASSERT_TRUE(gets(alice_, "bob", "running"));
  EXPECT_EQ(depth_of_bob(), 1);
  start("charlie");
  ASSERT_TRUE(gets(alice_, "charlie", "running"));
  EXPECT_EQ(node_.process().stop(), 0) << "it is over: " << node_.process().err();
}

TEST_F(DataGone, ARestartAfterAnErrorTakesNoOtherQueue) {
  stop("charlie");
  auto client = bob();
  client.call(rpc("qssh_getQueueDepth"));
  fs::rename(bobs_, elsewhere_);
  fs::rename(data_ / "charlie", bobs_);
  EXPECT_TRUE(client.send(post(rpc("node_injectFault", R"({"fault":"error"})"))));
  ASSERT_TRUE(gets(alice_, "bob", "failed"));
  EXPECT_TRUE(contains(error_of("bob"), "are gone")) << error_of("bob");
  start("bob");  // whether the loss was seen first, or the error
  ASSERT_TRUE(gets(alice_, "bob", "failed"));
  EXPECT_TRUE(contains(error_of("bob"), "another queue, that of charlie")) << error_of("bob");
  EXPECT_EQ(node_.process().stop(), 1) << node_.process().err();
}

TEST_F(DataGone, OneThatWasAddedBeginsAnewOnceItIsAddedAgain) {
  alice_.call(rpc("node_addValidator", of_validator("dave")));
  ASSERT_TRUE(gets(alice_, "dave", "running"));
  remove_from_under_it(data_ / "dave");
  ASSERT_TRUE(gets(alice_, "dave", "failed"));
  alice_.call(rpc("node_stopValidator", of_validator("dave")));
  ASSERT_TRUE(listed(alice_, "dave").is_null());
  alice_.call(rpc("node_addValidator", of_validator("dave")));
  EXPECT_TRUE(gets(alice_, "dave", "running"));
  EXPECT_EQ(node_.process().stop(), 0) << node_.process().err();
}

/// Each way that data go from under a validator that runs.
class WhileItRuns : public DataGone, public ::testing::WithParamInterface<int> {
 protected:
  void take_away() {
    const auto queue = bobs_ / "queue";
    if (GetParam() == 0) remove_from_under_it(bobs_);
    if (GetParam() == 1) fs::rename(bobs_, elsewhere_);
    if (GetParam() == 2) {
      fs::rename(queue, elsewhere_);
      fs::create_directory(queue);
    }
    if (GetParam() == 3) {
      // All names first: what is removed and made while they are read may hide one.
      const std::vector<fs::directory_entry> files{fs::directory_iterator(queue), fs::directory_iterator()};
      for (const auto& file : files) fs::remove(file);
    }
  }
};

TEST_P(WhileItRuns, ItEndsAndAcknowledgesNothingMore) {
  take_away();
  ASSERT_TRUE(gets(alice_, "bob", "failed"));
  EXPECT_TRUE(contains(error_of("bob"),
                       "the data of bob in " + (bobs_ / "queue").string() + " are gone: they were removed, moved away"))
      << error_of("bob");
  EXPECT_TRUE(node_.process().says("bob: has ended: the data of bob in ")) << node_.process().err();
  EXPECT_EQ(fetch(node_.web_port(), "/readyz").status, 503);
  EXPECT_FALSE(bob().connected()) << "nobody is let in";
  start("bob");
  ASSERT_TRUE(gets(alice_, "bob", "failed"));
  EXPECT_TRUE(contains(error_of("bob"), "there is no queue. Nothing was changed")) << error_of("bob");
  EXPECT_TRUE(alice_.call(durable_gossip()).as_object().contains("result")) << "the others go on";
  EXPECT_EQ(node_.process().stop(), 1) << node_.process().err();
  EXPECT_FALSE(contains(node_.process().err(), " stopped\n")) << "as if all were well: " << node_.process().err();
}

TEST_P(WhileItRuns, AStopRightAfterwardsIsNotWellEither) {
  take_away();
  EXPECT_EQ(node_.process().stop(), 1) << node_.process().err();
  EXPECT_TRUE(contains(node_.process().err(), "the data of bob in ")) << node_.process().err();
}

std::string name_of(const ::testing::TestParamInfo<int>& how) {
  constexpr std::array<const char*, 4> kNames{"Removed", "MovedAway", "Replaced", "Emptied"};
  return kNames.at(static_cast<std::size_t>(how.param));
}
INSTANTIATE_TEST_SUITE_P(, WhileItRuns, ::testing::Range(0, 4), name_of);

}  // namespace
}  // namespace qh::test
