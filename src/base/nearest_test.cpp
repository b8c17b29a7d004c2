#include "base/nearest.h"

#include <array>

#include <gtest/gtest.h>

namespace qh {
namespace {

constexpr std::array<std::string_view, 4> kKnown{"data-dir", "log-level", "port-offset", "topic"};

TEST(Nearest, FindsWhatWasMeant) {
  EXPECT_EQ(nearest("data_dir", kKnown), "data-dir");
  EXPECT_EQ(nearest("log-levle", kKnown), "log-level");
  EXPECT_EQ(nearest("tpoic", kKnown), "topic");
  EXPECT_EQ(nearest("Topic", kKnown), "topic");
  EXPECT_EQ(nearest_hint("port-ofset", kKnown), " (did you mean port-offset?)");
  EXPECT_EQ(nearest_hint("port-offset", kKnown), "") << "it is known, and stands in the wrong place";
}

TEST(Nearest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest("colour", kKnown), std::nullopt);
  EXPECT_EQ(nearest(std::string(100, 't'), kKnown), std::nullopt);
  EXPECT_EQ(nearest("", kKnown), std::nullopt);
  EXPECT_EQ(nearest_hint("colour", kKnown), "");
}

TEST(Nearest, APartOfANameIsEnoughWhereItSaysWhich) {
  constexpr std::array<std::string_view, 4> kPorts{"web-port", "port-offset", "queue-max-depth", "airports"};
  EXPECT_EQ(meant_hint("port", kPorts, "--"), " (did you mean --web-port or --port-offset?)");
  EXPECT_EQ(meant_hint("MAX_DEPTH", kPorts), " (did you mean queue-max-depth?)");
  EXPECT_EQ(meant_hint("web-prot", kPorts, "--"), " (did you mean --web-port?)") << "a slip of the pen comes first";
  EXPECT_EQ(meant_hint("max-web", kPorts), "");
  EXPECT_EQ(meant_hint("web-port", kPorts), "") << "it is known";
  EXPECT_EQ(meant_hint("", kPorts), "");
  const std::array<std::string_view, kPartsMax + 1> many{"a-b", "b-c", "b-d", "b-e", "b-f", "b-g", "b-h"};
  EXPECT_NE(meant_hint("b", std::span(many).first(kPartsMax)), "");
  EXPECT_EQ(meant_hint("b", many), "") << "that is nearly all of them";
}

}  // namespace
}  // namespace qh
