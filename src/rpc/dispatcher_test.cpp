#include "rpc/dispatcher.h"

#include <gtest/gtest.h>

#include "rpc/json_bed.h"

namespace qh::rpc {
namespace {

using std::chrono::milliseconds;

const std::string kName = R"("jsonrpc":"2.0","method":"qssh_getValidatorName")";

TEST(Dispatcher, AnswersTheSeedsCallsInTheirOrder) {
  JsonBed bed;
  EXPECT_EQ(bed.text(R"({"jsonrpc":"2.0","method":"qssh_getValidatorName","params":[],"id":1})"),
            R"({"jsonrpc":"2.0","result":"alice","id":1})");
  EXPECT_EQ(
      bed.text(R"({
    "jsonrpc":"2.0",
    "method":"qssh_submitMessage",
    "params":{
      "Gossip": {"topic":"test","data":[1,2,3]}
    },
    "id":1
  })"),
      R"({"jsonrpc":"2.0","result":{"message_id":1,"priority":"Normal","persisted":false,"duplicate":false},"id":1})");
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 1);
  const auto popped = bed.result("qssh_popMessage");
  EXPECT_EQ(queue::write_json(popped.at("message")), R"({"Gossip":{"topic":"test","data":"0x010203"}})");
  EXPECT_EQ(popped.at("submitted_by"), "alice");
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 0);
  EXPECT_TRUE(bed.result("qssh_popMessage").is_null());
}

TEST(Dispatcher, GivesIdsBackAsTheyCame) {
  JsonBed bed;
  for (const char* id : {"1", "-0", "1.50", "1e2", "123456789012345678901234567890", "\"a\\\"b\"", "null", "0.1",
                         R"("\u0041\ud83d\ude00")", R"("a/b\/c")", "\"\""}) {
    EXPECT_EQ(bed.text("{" + kName + ",\"id\":" + id + "}"),
              std::string(R"({"jsonrpc":"2.0","result":"alice","id":)") + id + "}");
  }
  for (const char* id : {"true", "[1]", "{}"}) {
    const auto reply = bed.json("{" + kName + ",\"id\":" + id + "}");
    EXPECT_EQ(reply.at("error").at("code"), -32600);
    EXPECT_TRUE(reply.at("id").is_null());
  }
}

TEST(Dispatcher, AMemberThatIsGivenTwiceIsAFaultOfItsCallAlone) {
  JsonBed bed;
  const auto answers =
      bed.json("[{" + kName + R"(,"id":1},{"jsonrpc":"2.0","method":"qssh_submitMessage","params":)" +
               R"({"Gossip":{"topic":"x","topic":"y","data":[]}},"id":2},{"id":3,)" + kName + R"(,"id":4}])");
  ASSERT_EQ(answers.as_array().size(), 3U);
  EXPECT_EQ(answers.at(0).at("result"), "alice");
  EXPECT_EQ(answers.at(1).at("error").at("code"), -32600);
  EXPECT_EQ(answers.at(1).at("error").at("data").at("field"), "params.Gossip.topic");
  EXPECT_EQ(answers.at(1).at("id"), 2);
  EXPECT_EQ(answers.at(2).at("error").at("data").at("field"), "id");
  EXPECT_TRUE(answers.at(2).at("id").is_null()) << "which of them it is is not clear";
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 0);
}

TEST(Dispatcher, NotificationsAreDoneAndNotAnswered) {
  JsonBed bed;
  EXPECT_EQ(bed.text(R"({"jsonrpc":"2.0","method":"qssh_submitMessage","params":{"Gossip":{"topic":"x","data":[]}}})"),
            "");
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 1);
  EXPECT_EQ(bed.text(R"({"jsonrpc":"2.0","method":"nothing"})"), "");
  EXPECT_EQ(bed.text("[{" + kName + "},{" + kName + "}]"), "");
}

TEST(Dispatcher, BatchesAreAnsweredInOrder) {
  JsonBed bed;
  const auto text = bed.text(
      "[{" + kName + ",\"id\":1.0}," +
      R"({"jsonrpc":"2.0","method":"qssh_submitMessage","params":[{"Telemetry":{"source":"s","data":"0x"}},{"durability":"sync"}],"id":"two"},)" +
      "{" + kName + "},7,{" + kName + ",\"id\":3}]");
  ASSERT_TRUE(text);
  const auto reply = queue::parse_json(*text).value();
  const auto& all = reply.get_array();
  ASSERT_EQ(all.size(), 4U);
  EXPECT_NE(text->find(R"("id":1.0})"), std::string::npos);
  EXPECT_EQ(all[1].at("id"), "two");
  EXPECT_EQ(all[1].at("result").at("persisted"), true);
  EXPECT_EQ(all[2].at("error").at("code"), -32600);
  EXPECT_EQ(all[3].at("id"), 3);
}

/// `count` messages of a megabyte, on disk.
void fill(JsonBed& bed, int count) {
  const std::string params =
      R"([{"Gossip":{"topic":"x","data":"0x)" + std::string(2'000'000, '0') + R"("}},{"durability":"sync"}])";
  for (int i = 0; i < count; ++i) (void)bed.result("qssh_submitMessage", params);
}

std::string batch_of(int count, const std::string& call, const std::string& last = {}) {
  std::string body = "[";
  for (int i = 0; i < count; ++i) body += (i == 0 ? "" : ",") + call;
  return body + (last.empty() ? "" : "," + last) + "]";
}

TEST(Dispatcher, TheAnswersOfABatchAreBounded) {
  JsonBed bed;
  fill(bed, 4);
  const std::string submit =
      R"("jsonrpc":"2.0","method":"qssh_submitMessage","params":{"Gossip":{"topic":"x","data":[]}})";
  const auto text = bed.text(batch_of(40, R"({"jsonrpc":"2.0","method":"qssh_peek","params":{"count":1000},"id":1})",
                                      "{" + submit + R"(,"id":2},{)" + submit + "}"));
  ASSERT_TRUE(text);
  EXPECT_LT(text->size(), 80U << 20);
  const auto reply = queue::parse_json(*text).value();
  ASSERT_EQ(reply.get_array().size(), 41U);
  EXPECT_EQ(reply.at(0).at("result").get_array().size(), 4U);
  const auto& error = reply.at(39).at("error");
  EXPECT_EQ(error.at("code"), -32005);
  EXPECT_EQ(error.at("data").at("limit"), 64 << 20);
  EXPECT_GE(error.at("data").at("size").as_int64(), 64 << 20);
  EXPECT_LT(error.at("data").at("size").as_int64(), 80 << 20);
  EXPECT_NE(error.at("message").get_string().find("was not carried out"), std::string_view::npos);
  EXPECT_EQ(reply.at(40).at("error").at("code"), -32005);
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 5) << "only the one that has no answer was carried out";
}

TEST(Dispatcher, WhatABatchHandsOutIsTold) {
  JsonBed bed;
  fill(bed, 40);
  const auto reply = bed.json(batch_of(40, R"({"jsonrpc":"2.0","method":"qssh_popMessage","id":1})"));
  std::int64_t told = 0, refused = 0;
  for (const auto& answer : reply.get_array()) {
    if (answer.get_object().contains("result"))
      ++told;
    else
      refused += answer.at("error").at("code") == -32005;
  }
  EXPECT_EQ(told + refused, 40);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), refused) << "what was not told is still there";
}

TEST(Dispatcher, ManySmallHandOutsFitIntoABatch) {
  JsonBed bed;
  for (int i = 0; i < 100; ++i) {
    (void)bed.result("qssh_submitMessage", R"([{"Gossip":{"topic":"x","data":[]}},{"durability":"sync"}])");
  }
  const auto reply = bed.json(batch_of(1'000, R"({"jsonrpc":"2.0","method":"qssh_popMessage","id":1})"));
  for (const auto& answer : reply.get_array()) EXPECT_TRUE(answer.get_object().contains("result"));
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 0);
}

TEST(Dispatcher, RefusesWhatIsNoRequest) {
  JsonBed bed;
  const std::pair<std::string, int> refusals[] = {
      {"", -32700},
      {"{", -32700},
      {"{} {}", -32700},
      {std::string(33, '[') + std::string(33, ']'), -32700},
      {"[]", -32600},
      {"7", -32600},
      {"{}", -32600},
      {R"({"jsonrpc":"1.0","method":"qssh_popMessage","id":1})", -32600},
      {R"({"method":"qssh_popMessage","id":1})", -32600},
      {R"({"jsonrpc":"2.0","method":7,"id":1})", -32600},
      {R"({"jsonrpc":"2.0","method":"qssh_popMessage","params":7,"id":1})", -32600},
      {R"({"jsonrpc":"2.0","method":"qssh_popMessage","params":null,"id":1})", -32600},
      {R"({"jsonrpc":"2.0","method":"qssh_popMessage","method":"qssh_popMessage","id":1})", -32600},
      {R"({"jsonrpc":"2.0","method":"qssh_submitMessage","params":{"Gossip":{"topic":"x","topic":"y","data":[]}},"id":1})",
       -32600},
      {R"({"jsonrpc":"2.0","method":"qssh_popMesage","id":1})", -32601},
  };
  for (const auto& [body, code] : refusals) {
    const auto reply = bed.json(body);
    EXPECT_EQ(reply.at("error").at("code"), code) << body;
    EXPECT_TRUE(reply.at("error").at("data").at("reason").is_string()) << body;
  }
  EXPECT_EQ(bed.error("qssh_popMesage").at("message"),
            "there is no method qssh_popMesage (did you mean qssh_popMessage?)");
  std::string many = "[";
  for (std::size_t i = 0; i <= kBatchCallsMax; ++i) many += i == 0 ? "0" : ",0";
  EXPECT_EQ(bed.json(many + "]").at("error").at("data").at("limit"), kBatchCallsMax);
}

TEST(Dispatcher, AsksForTheRoleOfTheMethod) {
  JsonBed bed;
  bed.caller.roles = RoleSet();
  bed.caller.roles.add(Role::kRead);
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 0);
  const std::pair<const char*, const char*> needs[] = {
      {"qssh_submitMessage", "submit"}, {"qssh_submitBatch", "submit"}, {"qssh_popMessage", "consume"},
      {"qssh_popBatch", "consume"},     {"qssh_lease", "consume"},      {"qssh_ack", "consume"},
      {"qssh_purge", "admin"},          {"qssh_pause", "admin"},        {"qssh_removeMessage", "admin"}};
  for (const auto& [method, role] : needs) {
    const auto error = bed.error(method);
    EXPECT_EQ(error.at("code"), -32010) << method;
    EXPECT_EQ(error.at("data").at("role"), role) << method;
    EXPECT_EQ(error.at("data").at("reason"), "Forbidden");
  }
}

TEST(Dispatcher, WhileStoppingOnlyLooksAreServed) {
  JsonBed bed;
  bed.dispatcher().begin_stop();
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 0);
  const auto error = bed.error("qssh_popMessage");
  EXPECT_EQ(error.at("code"), -32009);
  EXPECT_EQ(error.at("data").at("reason"), "ShuttingDown");
}

TEST(Dispatcher, AWaitEndsWithAMessageOrWithItsTime) {
  JsonBed bed;
  const auto waiting = bed.start(R"({"jsonrpc":"2.0","method":"qssh_popMessage","params":{"wait_ms":1000},"id":1})");
  bed.settle();
  ASSERT_FALSE(*waiting);
  EXPECT_EQ(bed.dispatcher().open_calls(), 1U);
  (void)bed.result("qssh_submitMessage", R"({"Gossip":{"topic":"x","data":[]}})");
  bed.settle();
  ASSERT_TRUE(*waiting);
  EXPECT_NE((*waiting)->find("\"message_id\":1"), std::string::npos);

  const auto late = bed.start(R"({"jsonrpc":"2.0","method":"qssh_lease","params":{"wait_ms":1000},"id":1})");
  bed.settle();
  ASSERT_FALSE(*late);
  bed.advance(milliseconds(1001));
  EXPECT_EQ(*late, R"({"jsonrpc":"2.0","result":[],"id":1})");
  EXPECT_EQ(bed.dispatcher().open_calls(), 0U);
}

TEST(Dispatcher, AnAbandonedWaitTakesNothing) {
  JsonBed bed;
  const auto waiting = bed.start(R"({"jsonrpc":"2.0","method":"qssh_popMessage","params":{"wait_ms":1000},"id":1})");
  bed.settle();
  bed.dispatcher().abandon(bed.last_call);
  bed.settle();
  ASSERT_TRUE(*waiting);
  EXPECT_NE((*waiting)->find("-32008"), std::string::npos);
  (void)bed.result("qssh_submitMessage", R"({"Gossip":{"topic":"x","data":[]}})");
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 1);
  bed.dispatcher().abandon(bed.last_call);  // answered long ago
}

TEST(Dispatcher, ASubmitThatIsLateSaysThatItsOutcomeIsUnknown) {
  JsonBed bed;
  const auto reply =
      bed.start(R"({"jsonrpc":"2.0","method":"qssh_submitMessage","params":{"message":{"Transaction":{"tx_hash":")" +
                std::string("0x") + std::string(64, '1') +
                R"(","tx_data":"0x00"}},"timeout_ms":50,"idempotency_key":"k"},"id":1})");
  ASSERT_FALSE(*reply);  // nobody has pumped
  bed.advance(milliseconds(0));
  ASSERT_TRUE(*reply);
  EXPECT_NE((*reply)->find("\"persisted\":true"), std::string::npos) << **reply;
  EXPECT_EQ(bed.armed_timers(), 0U);
}

TEST(Dispatcher, OpenCallsOfADispatcherThatDiesAreDropped) {
  std::shared_ptr<std::optional<std::string>> waiting;
  {
    JsonBed bed;
    waiting = bed.start(R"({"jsonrpc":"2.0","method":"qssh_popMessage","params":{"wait_ms":1000},"id":1})");
  }
  EXPECT_FALSE(*waiting);
}

}  // namespace
}  // namespace qh::rpc
