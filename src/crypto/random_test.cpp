#include "crypto/random.h"

#include <array>
#include <bit>
#include <set>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "crypto/constant_time.h"

namespace qh::crypto {
namespace {

TEST(Random, DrawsDoNotRepeatAcrossPoolsAndGenerators) {
  SystemRng a;
  SystemRng b;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(seen.insert(a.next()).second);
    EXPECT_TRUE(seen.insert(b.next()).second);
  }
}

TEST(Random, BitsAreBalanced) {
  SystemRng rng;
  int ones = 0;
  for (int i = 0; i < 10'000; ++i) ones += std::popcount(rng.next());
  // 640,000 fair bits: mean 320,000, standard deviation 400; ten of them away never happens by chance.
  EXPECT_NEAR(ones, 320'000, 4'000);
}

TEST(Random, FillsEveryByte) {
  std::array<std::byte, 1000> bytes{};
  fill_random(bytes);
  int zeros = 0;
  for (const auto b : bytes) zeros += b == std::byte{0};
  EXPECT_LT(zeros, 40);
  fill_random({});
}

TEST(ConstantTime, ComparesContentAndSize) {
  EXPECT_TRUE(equal(as_bytes("secret"), as_bytes("secret")));
  EXPECT_FALSE(equal(as_bytes("secret"), as_bytes("secreT")));
  EXPECT_FALSE(equal(as_bytes("secret"), as_bytes("secre")));
  EXPECT_TRUE(equal({}, {}));
}

}  // namespace
}  // namespace qh::crypto
