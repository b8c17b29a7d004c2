#include "queue/json_text.h"

#include <cmath>
#include <cstring>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <boost/json/value.hpp>

namespace qh::queue {
namespace {

std::string round_trip(std::string_view text) {
  const auto value = parse_json(text);
  return value ? write_json(*value) : value.error().context;
}

TEST(JsonText, WritesWhatItRead) {
  for (const char* text : {"null", "true", "[1,-2,3.5]", R"({"a":{"b":[]},"c":{}})", R"("q\"\\\n\r\t\u0001")", "0.1",
                           "-0.0", "9007199254740991", "18446744073709551615", "1e-07", "1e+30", "12.5", "[[],[{}]]"}) {
    EXPECT_EQ(round_trip(text), text);
  }
}

TEST(JsonText, RefusesWhatIsNotJson) {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\":1,}", "nul", "1 2", "{'a':1}", "[1]x", "NaN", "01", "\"\xff\"",
                           "\"\n\"", "// hi\n1", "\"\\ud800\""}) {
    const auto value = parse_json(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, Errc::kInvalid) << text;
    EXPECT_NE(value.error().context.find("at byte"), std::string::npos) << value.error().context;
  }
}

TEST(JsonText, RefusesAMemberGivenTwiceByItsPath) {
  const auto value = parse_json(R"([{"x":1},{"a":{"to\u0070ic":"x","data":[{"z":0}],"topic":"y"}}])");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().code, Errc::kExists);
  EXPECT_EQ(value.error().subject, "[1].a.topic");
}

TEST(JsonText, RefusesDepthAndWidth) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(32)));
  const auto deep = parse_json(nested(33));
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error().code, Errc::kTooLarge);
  EXPECT_EQ(deep.error().limit, 32U);
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')));

  std::string wide = "{";
  for (std::size_t i = 0; i <= kJsonMembersMax; ++i) wide += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
  EXPECT_FALSE(parse_json(wide + "}"));
}

/// One line: those of each element.
std::string ids_of(std::string_view text) {
  JsonNotes notes;
  EXPECT_TRUE(parse_json(text, notes)) << text;
  std::string all;
  for (const auto& note : notes.ids) all += std::to_string(note.element) + ": " + note.text + "; ";
  return all;
}

TEST(JsonText, KeepsIdsAsWritten) {
  EXPECT_EQ(ids_of(R"({"id":1.50,"params":{"id":7},"x":[{"id":8}]})"), "0: 1.50; ");
  EXPECT_EQ(ids_of(R"([{"id":-0},3,{"id":123456789012345678901234567890},{"id":"1"},{"id":1E2}])"),
            "0: -0; 2: 123456789012345678901234567890; 3: \"1\"; 4: 1E2; ");
  EXPECT_EQ(ids_of(R"( {"x":["id","y",{"id":"z"}],"id" : "\u0041\ud83d\ude00","params":{"id":"a"}})"),
            R"(0: "\u0041\ud83d\ude00"; )");
  EXPECT_EQ(ids_of(R"([ ["id","a\/b"], {"id":"a\/b\"c\\"}, {"id":7,"x":"}"}, "id", {"id":"","y":[1,2]}, {"id":null}])"),
            R"(1: "a\/b\"c\\"; 2: 7; 4: ""; )");
  EXPECT_EQ(ids_of(R"({"\u0069d":"a\/b"})"), "") << "spelt so, it is not looked for";
}

TEST(JsonText, NotesMembersThatACallNamesTwice) {
  JsonNotes notes;
  const auto value =
      parse_json(R"([{"a":1,"id":2},{"p":{"x":1,"\u0078":2},"id":3,"id":4,"q":[{"z":0,"z":0}]},5])", notes);
  ASSERT_TRUE(value);
  ASSERT_EQ(notes.twice.size(), 2U);
  EXPECT_EQ(notes.twice[0].element, 1U);
  EXPECT_EQ(notes.twice[0].text, "p.x");
  EXPECT_EQ(notes.twice[1].text, "id");
  EXPECT_EQ(value->at(1).at("p").at("x"), 2);
  EXPECT_EQ(JsonNotes::find(notes.twice, 0), nullptr);
  EXPECT_EQ(JsonNotes::find(notes.twice, 2), nullptr);
}

RC_GTEST_PROP(JsonText, EveryFractionReadsBackTheSame, (std::uint64_t bits)) {
  double number = 0;
  static_assert(sizeof number == sizeof bits);
  std::memcpy(&number, &bits, sizeof bits);
  RC_PRE(std::isfinite(number));
  const auto back = parse_json(write_json(boost::json::value(number)));
  RC_ASSERT(back.has_value());
  RC_ASSERT(back->to_number<double>() == number);
}

}  // namespace
}  // namespace qh::queue
