#include "sim/sim_world.h"

#include <gtest/gtest.h>

#include <string>

namespace qh {
namespace {

TEST(SimWorld, EventsRunInOrderAndTheWallMayJump) {
  SimWorld world(1);
  std::string order;
  world.after(std::chrono::seconds(2), [&] { order += 'c'; });
  world.after(std::chrono::seconds(1), [&] { order += 'a'; });
  world.after(std::chrono::seconds(1), [&] { order += 'b'; });
  const auto cancelled = world.after(std::chrono::seconds(1), [&] { order += '!'; });
  world.cancel(cancelled);
  const MonoTime start = world.mono();
  const WallTime wall = world.wall();
  world.advance(std::chrono::milliseconds(1500));
  EXPECT_EQ(order, "ab");
  EXPECT_EQ(world.mono() - start, std::chrono::milliseconds(1500));
  world.jump_wall(std::chrono::hours(-1));
  EXPECT_EQ(world.wall() - wall, std::chrono::milliseconds(1500) - std::chrono::hours(1));
  EXPECT_EQ(world.run_until_idle(), 1u);
  EXPECT_EQ(order, "abc");
  EXPECT_FALSE(world.run_one());
}

}  // namespace
}  // namespace qh
