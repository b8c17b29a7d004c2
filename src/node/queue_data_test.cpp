#include "node/queue_data.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace qh::node {
namespace {

namespace fs = std::filesystem;

class QueueData : public ::testing::Test {
 protected:
  QueueData() {
    std::string path = (fs::temp_directory_path() / "qh-queue-data-XXXXXX").string();
    directory_ = ::mkdtemp(path.data());
  }
  ~QueueData() override { fs::remove_all(directory_); }
  void write(const std::string& name, const std::string& bytes) const { std::ofstream(directory_ / name) << bytes; }
  bool there() const { return has_queue(directory_).value(); }

  fs::path directory_;
};

TEST_F(QueueData, IsNotThereWhereNothingWasEverStored) {
  EXPECT_FALSE(has_queue(directory_ / "none").value());
  EXPECT_FALSE(there()) << "a mount point";
  write("LOCK", "pid 1");
  write("lost+found", "");
  write("identity.new", "cut off");
  write("00000001.wal", std::string(65536, '\0'));
  write("mark", std::string(8192, '\0'));
  EXPECT_FALSE(there()) << "what a creation leaves behind that was cut off";
}

TEST_F(QueueData, IsThereWhateverIsLeftOfIt) {
  write("identity", "");
  EXPECT_TRUE(there());
  fs::remove(directory_ / "identity");
  write("mark", std::string(8191, '\0') + "m");
  EXPECT_TRUE(there());
  fs::remove(directory_ / "mark");
  write("00000007.wal", "damaged");
  EXPECT_TRUE(there()) << "the start says what is wrong with it";
}

TEST_F(QueueData, HaveTheIdentityThatTheQueueWasMadeWith) {
  EXPECT_FALSE(identity_in(directory_));
  queue::wal::Identity made{{}, "bob"};
  made.queue_id.fill(std::byte{7});
  Bytes block(queue::wal::kBlockBytes);
  queue::wal::encode_identity(made, block);
  write("identity", std::string(as_text(block)));
  const auto found = identity_in(directory_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->queue_id, made.queue_id);
  EXPECT_EQ(found->queue_name, "bob");
  write("identity", std::string(as_text(block)).substr(0, 100));
  EXPECT_FALSE(identity_in(directory_)) << "the start says what is wrong with it";
}

TEST_F(QueueData, ThatCannotBeLookedForAreAnError) {
  fs::create_symlink("loop", directory_ / "loop");
  EXPECT_FALSE(has_queue(directory_ / "loop"));
}

}  // namespace
}  // namespace qh::node
