#include "node/key_parts.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace qh::node {
namespace {

using Line = std::optional<std::size_t>;

std::string key_of(std::size_t parts) {
  std::string key = "a";
  for (std::size_t i = 1; i < parts; ++i) key += ".a";
  return key;
}

TEST(KeyParts, AKeyOfTooManyIsFoundWhereverKeysStand) {
  const auto most = key_of(kKeyPartsMax), more = key_of(kKeyPartsMax + 1);
  EXPECT_EQ(line_of_deep_key(most + " = 1.5\n[" + most + "]\n" + most + " = {" + most + " = 1}\n"), Line());
  const std::vector<std::string> texts{more + " = 1",
                                       "[" + more + "]",
                                       "x = { " + more + " = 1 }",
                                       "x = { b = 1, " + more + " = 1 }",
                                       "[[" + more + "]]",
                                       "x = [{ " + more + " = 1 }]",
                                       "\"b\"." + most + " = 1",
                                       "'b' . " + most + " = 1"};
  for (const auto& text : texts) {
    EXPECT_EQ(line_of_deep_key(text), Line(1)) << text;
    EXPECT_EQ(line_of_deep_key("b = [\n1.5, # c\n2.5]\n" + text), Line(4)) << text;
  }
}

TEST(KeyParts, DotsInStringsAndCommentsAreNoKeys) {
  const auto dots = key_of(50);
  const std::vector<std::string> texts{"a = \"" + dots + "\"",
                                       "a = '" + dots + "'",
                                       "# " + dots,
                                       "a = \"\\\"" + dots + "\"",
                                       "a = \"\\\\\" # " + dots,
                                       "a = \"\"\"\n" + dots + "\n\"\"\"",
                                       "a = '''\n\\" + dots + "\n'''",
                                       "a = \"\"\"\"" + dots + "\"\"\"\"\"",
                                       "a = \"\"\"x\"\"" + dots + "\"\"\"",
                                       "a = \"\" # " + dots,
                                       "a = \"\\\"\\\"\\\"" + dots + "\"",
                                       "listen = [\"1.2.3.4\", \"1.2.3.4\", '1.2.3.4']",
                                       "a = [1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5]"};
  for (const auto& text : texts) {
    EXPECT_EQ(line_of_deep_key(text), Line()) << text;
    EXPECT_EQ(line_of_deep_key(text + "\n[" + dots + "]"),
              Line(2 + static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'))))
        << text;
  }
}

TEST(KeyParts, AStringThatDoesNotEndHidesNoLineBehindItsOwn) {
  EXPECT_EQ(line_of_deep_key("a = \"b\n" + key_of(50) + " = 1"), Line(2));
  EXPECT_EQ(line_of_deep_key("a = \"\"\"b\n"), Line());
  EXPECT_EQ(line_of_deep_key("a = \"b\\"), Line());
}

}  // namespace
}  // namespace qh::node
