#include "queue/message_json.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "queue/arbitrary_message.h"

namespace qh::queue {
namespace {

namespace json = boost::json;

Result<Message> read(std::string_view text) {
  const auto value = parse_json(text);
  if (!value) return fail(value.error());
  return message_from_json(*value);
}

/// The other direction is needed by nobody but this test.
std::string to_base64(ByteView bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned word = 0;
    for (std::size_t k = 0; k < 3; ++k)
      word = word << 8 | (i + k < bytes.size() ? std::to_integer<unsigned>(bytes[i + k]) : 0);
    for (std::size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : kDigits[word >> (18 - 6 * k) & 63];
  }
  return text;
}

const std::string kHash = "\"0x" + std::string(64, 'a') + "\"";

TEST(MessageJson, ReadsTheSeedsExample) {
  const auto message = read(R"({"Gossip": {"topic":"test","data":[1,2,3]}})");
  ASSERT_TRUE(message) << message.error().to_string();
  EXPECT_EQ(*message, Message(Gossip{"test", {std::byte{1}, std::byte{2}, std::byte{3}}}));
  EXPECT_EQ(write_json(message_to_json(*message)), R"({"Gossip":{"topic":"test","data":"0x010203"}})");
}

struct Refusal {
  std::string text;
  const char* subject;
  const char* context;  ///< a part of it
};

TEST(MessageJson, RefusesByTheNameOfTheField) {
  const Refusal refusals[] = {
      {R"({"Gosip":{}})", "Gosip", "did you mean Gossip?"},
      {R"([])", "message", "expected an object with one of BlockImport"},
      {R"({})", "message", "got 0 members"},
      {R"({"Gossip":{},"Vote":{}})", "message", "got 2 members"},
      {R"({"Gossip":7})", "Gossip", "expected an object, got the number 7"},
      {R"({"Gossip":{"topic":"x"}})", "Gossip.data", "is missing"},
      {R"({"Gossip":{"topic":null,"data":[]}})", "Gossip.topic", "expected a string, got null"},
      {R"({"Gossip":{"topic":"x","data":[],"dta":1}})", "Gossip.dta", "did you mean data?"},
      {R"({"Gossip":{"topic":"x","data":[0,255,256]}})", "Gossip.data[2]", "0 to 255, got the number 256"},
      {R"({"Gossip":{"topic":"x","data":[0,"1"]}})", "Gossip.data[1]", "got the string \"1\""},
      {R"({"Gossip":{"topic":"x","data":[0.5]}})", "Gossip.data[0]", "got the number 0.5"},
      {R"({"Gossip":{"topic":"x","data":"00"}})", "Gossip.data", "expected bytes"},
      {R"({"Gossip":{"topic":"x","data":"0x0"}})", "Gossip.data", "odd number"},
      {R"({"Gossip":{"topic":"x","data":"0x0g"}})", "Gossip.data", "got 'g' as hex digit 2"},
      {R"({"Gossip":{"topic":"x","data":"0xZ"}})", "Gossip.data", "got 'Z' as hex digit 1"},
      {R"({"Gossip":{"topic":"x","data":"0x000\u00e9"}})", "Gossip.data", "got byte 0xc3 as hex digit 4"},
      {R"({"Gossip":{"topic":"x","data":")" + std::string(65, 'z') + R"("}})", "Gossip.data",
       "got a string of 65 bytes"},
      {R"({"Gossip":{"topic":"x","data":{"base64":"AA"}}})", "Gossip.data", "multiple of 4"},
      {R"({"Gossip":{"topic":"x","data":{"base64":"AA==","x":1}}})", "Gossip.data", "expected bytes"},
      {R"({"Transaction":{"tx_hash":"0x00","tx_data":[]}})", "Transaction.tx_hash", "expected 32 bytes, got 1"},
      {R"({"Transaction":{"tx_hash":)" + kHash + R"(,"tx_data":[],"expires_at":-1}})", "Transaction.expires_at",
       "expected an integer from 0"},
      {R"({"BlockImport":{"block_hash":)" + kHash + R"(,"block_number":9007199254740992,"timestamp":0}})",
       "BlockImport.block_number", "9007199254740991, got the number 9007199254740992"},
      {R"({"BlockImport":{"block_hash":)" + kHash + R"(,"block_number":1.5,"timestamp":0}})",
       "BlockImport.block_number", "got the number 1.5"},
      {R"({"BlockImport":{"block_hash":)" + kHash + R"(,"block_number":18446744073709551615,"timestamp":0}})",
       "BlockImport.block_number", "expected an integer"},
      {R"({"EntropyShare":{"device_id":"d","entropy":[]}})", "EntropyShare.qber",
       "it may be null, but it must be there"},
      {R"({"EntropyShare":{"device_id":"d","entropy":[],"qber":1.01}})", "EntropyShare.qber", "a fraction from 0 to 1"},
      {R"({"EntropyShare":{"device_id":"d","entropy":[],"qber":"0"}})", "EntropyShare.qber", "got the string \"0\""},
  };
  for (const auto& refusal : refusals) {
    const auto message = read(refusal.text);
    ASSERT_FALSE(message) << refusal.text;
    EXPECT_EQ(message.error().code, Errc::kInvalid);
    EXPECT_EQ(message.error().subject, refusal.subject) << refusal.text;
    EXPECT_NE(message.error().context.find(refusal.context), std::string::npos) << message.error().context;
  }
}

TEST(MessageJson, TakesWhatOtherLanguagesWrite) {
  EXPECT_TRUE(read(R"({"BlockImport":{"block_hash":)" + kHash + R"(,"block_number":5.0,"timestamp":1e3}})"));
  const auto none = read(R"({"Transaction":{"tx_hash":)" + kHash + R"(,"tx_data":"0x","expires_at":null}})");
  ASSERT_TRUE(none);
  EXPECT_EQ(std::get<Transaction>(*none).expires_at, std::nullopt);
  const auto zero = read(R"({"EntropyShare":{"device_id":"d","entropy":"0x","qber":-0.0}})");
  ASSERT_TRUE(zero);
  EXPECT_TRUE(encode(*zero));
}

TEST(MessageJson, QueuedMessagesHaveTheSeedsFieldsInTheirOrder) {
  QueuedMessage queued;
  queued.id = MessageId{1};
  queued.body = Body(encode(Gossip{"test", {std::byte{1}}}).value());
  queued.created_at = WallTime{1'698'509'120'987'654'321};
  queued.submitted_by = "alice";
  queued.persisted = true;
  queued.deliveries = 2;
  EXPECT_EQ(write_json(queued_to_json(queued)),
            R"({"message":{"Gossip":{"topic":"test","data":"0x01"}},"message_id":1,"created_at":1698509120,)"
            R"("submitted_by":"alice","persisted":true,"broadcast":false,"created_at_ms":1698509120987,)"
            R"("priority":"Normal","deliveries":2,"digest":"0x)" +
                to_hex(queued.digest()) + "\"}");
}

TEST(MessageJson, LinesOfTheSeedsLogReadBack) {
  const auto line = parse_json(
      R"({"message":{"Gossip":{"topic":"t","data":[]}},"message_id":3,"created_at":1698509122,"submitted_by":"alice","persisted":true,"broadcast":false})");
  ASSERT_TRUE(line);
  const auto exported = exported_from_json(*line);
  ASSERT_TRUE(exported) << exported.error().to_string();
  EXPECT_EQ(exported->id, MessageId{3});
  EXPECT_EQ(exported->created_at.seconds(), 1698509122);
  EXPECT_EQ(exported->submitted_by, "alice");
  EXPECT_TRUE(exported->persisted);

  for (const char* text :
       {R"([])", R"({"message_id":1,"created_at":1})",
        R"({"message":{"Gossip":{"topic":"t","data":[]}},"created_at":1})",
        R"({"message":{"Gossip":{"topic":"t","data":[]}},"message_id":1,"created_at":"x"})",
        R"({"message":{"Gossip":{"topic":"t","data":[]}},"message_id":1,"created_at":9007199254740991})",
        R"({"message":{"Gossip":{"topic":"t","data":[]}},"message_id":1,"created_at":1,"persist":true})"}) {
    EXPECT_FALSE(exported_from_json(*parse_json(text))) << text;
  }
}

TEST(MessageJson, SchemaHasEveryKindAndField) {
  const auto schema = message_schema();
  const auto& kinds_of = schema.at("oneOf").as_array();
  ASSERT_EQ(kinds_of.size(), kKindCount);
  const auto& entropy = kinds_of[3].at("properties").at("EntropyShare");
  EXPECT_EQ(write_json(entropy.at("required")), R"(["device_id","entropy","qber"])");
  EXPECT_EQ(write_json(entropy.at("properties").at("qber").at("type")), R"(["number","null"])");
}

RC_GTEST_PROP(MessageJson, AMessageReadsBackTheSame, ()) {
  const auto message = *arbitrary_message();
  const auto text = write_json(message_to_json(message));
  const auto back = read(text);
  RC_ASSERT(back.has_value());
  RC_ASSERT(*back == message);
  RC_ASSERT(encode(*back).value() == encode(message).value());
}

RC_GTEST_PROP(MessageJson, TheThreeFormsOfBytesAreEqual, ()) {
  const auto bytes = *arbitrary_bytes();
  std::string array = "[";
  for (const auto b : bytes) array += (array.size() > 1 ? "," : "") + std::to_string(std::to_integer<int>(b));
  const auto from = [](std::string_view text) { return bytes_from_json(*parse_json(text), "x"); };
  RC_ASSERT(from(array + "]") == bytes);
  RC_ASSERT(from("\"0x" + to_hex(bytes) + "\"") == bytes);
  RC_ASSERT(from("{\"base64\":\"" + to_base64(bytes) + "\"}") == bytes);
}

RC_GTEST_PROP(MessageJson, AQueuedMessageReadsBackTheSame, ()) {
  const auto message = *arbitrary_message();
  QueuedMessage queued;
  queued.id = MessageId{static_cast<std::uint64_t>(*rc::gen::inRange<std::int64_t>(1, INT64_C(1) << 53))};
  queued.body = Body(encode(message).value());
  queued.created_at = WallTime::from_ms(*rc::gen::inRange<std::int64_t>(0, INT64_C(4'000'000'000'000)));
  queued.submitted_by = "bob";
  const auto back = exported_from_json(*parse_json(write_json(queued_to_json(queued))));
  RC_ASSERT(back.has_value());
  RC_ASSERT(back->message == message);
  RC_ASSERT(back->id == queued.id);
  RC_ASSERT(back->created_at == queued.created_at);
}

}  // namespace
}  // namespace qh::queue
