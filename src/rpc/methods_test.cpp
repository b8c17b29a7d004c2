#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "rpc/json_bed.h"
#include "rpc/method.h"
#include "rpc/schemas.h"

namespace qh::rpc {
namespace {

using std::chrono::milliseconds;

std::string gossip(std::string_view topic) {
  return R"({"Gossip":{"topic":")" + std::string(topic) + R"(","data":"0x"}})";
}

TEST(Methods, EveryLineOfTheTableIsComplete) {
  std::set<std::string_view> names;
  for (const auto& method : methods()) {
    EXPECT_TRUE(names.insert(method.name).second) << method.name;
    EXPECT_FALSE(method.summary.empty()) << method.name;
    EXPECT_FALSE(method.result.empty()) << method.name;
    EXPECT_FALSE(schema_of_note(method.returns).empty()) << method.name;
    EXPECT_NE(method.run, nullptr) << method.name;
    EXPECT_TRUE(queue::parse_json(method.example_params)) << method.name;
    for (const auto& parameter : method.parameters) {
      EXPECT_FALSE(parameter.meaning.empty()) << method.name << parameter.name;
      EXPECT_FALSE(expectation(parameter).empty());
    }
  }
}

TEST(Methods, EverySchemaRefersToWhatIsThere) {
  const auto schemas = named_schemas();
  auto text = queue::write_json(schemas);
  for (const auto& method : methods()) text += queue::write_json(schema_of_note(method.returns));
  constexpr std::string_view kRef = "#/components/schemas/";
  std::set<std::string> used;
  for (auto at = text.find(kRef); at != text.npos; at = text.find(kRef, at + 1)) {
    const auto name = at + kRef.size();
    used.insert(text.substr(name, text.find('"', name) - name));
  }
  for (const auto& name : used) EXPECT_TRUE(schemas.contains(name)) << name;
  for (const auto& schema : schemas) EXPECT_TRUE(used.contains(schema.key())) << schema.key() << " is used nowhere";
}

TEST(Methods, EveryExampleWorks) {
  JsonBed bed;
  for (const auto& method : methods()) {
    SCOPED_TRACE(method.name);
    (void)bed.result(method.name, method.example_params);
  }
}

TEST(Methods, UnknownAndWrongParametersAreRefusedByName) {
  JsonBed bed;
  struct Wrong {
    const char* method;
    std::string params;
    const char* field;
  };
  const Wrong wrongs[] = {
      {"qssh_submitMessage", R"({"message":)" + gossip("x") + R"(,"idempotency_key":""})", "idempotency_key"},
      {"qssh_lease", R"({"mx":1})", "mx"},
      {"qssh_lease", R"({"max":0})", "max"},
      {"qssh_lease", R"({"max":1001})", "max"},
      {"qssh_lease", R"({"kinds":[]})", "kinds"},
      {"qssh_lease", R"({"kinds":["Gosip"]})", "kinds[0]"},
      {"qssh_lease", R"({"kinds":"Gossip"})", "kinds"},
      {"qssh_lease", R"([1,2,["Gossip"],0,5])", "params"},
      {"qssh_popMessage", R"({"wait_ms":60001})", "wait_ms"},
      {"qssh_popBatch", "[]", "max"},
      {"qssh_popBatch", R"({"max":1001})", "max"},
      {"qssh_popMessage", R"({"wait_ms":-1})", "wait_ms"},
      {"qssh_popMessage", R"({"wait":"finalized"})", "wait"},
      {"qssh_ack", "{}", "leases"},
      {"qssh_ack", R"({"leases":[0]})", "leases[0]"},
      {"qssh_ack", R"([[1,"2"]])", "leases[1]"},
      {"qssh_extend", R"({"leases":[1]})", "duration_ms"},
      {"qssh_find", "[]", "message_id"},
      {"qssh_find", R"({"message_id":9007199254740992})", "message_id"},
      {"qssh_purge", "[]", "all"},
      {"qssh_purge", R"({"all":false})", "all"},
      {"qssh_purge", R"({"all":false,"kinds":["Vote"]})", "all"},
      {"qssh_purge", R"({"all":true,"kinds":["Vote"]})", "all"},
      {"qssh_purgeDeadLetters", R"({"message_id":1,"older_than_ms":1})", "older_than_ms"},
      {"qssh_retryDeadLetter", R"({"rate":1})", "all"},
      {"node_addValidator", R"({"name":"A b"})", "name"},
      {"node_stopValidator", R"({"name":"aggregate"})", "name"},
      {"qssh_retryDeadLetter", "{}", "all"},
      {"qssh_retryDeadLetter", R"({"message_id":1,"rate":1})", "rate"},
      {"qssh_retryDeadLetter", R"({"all":true,"rate":1e-10})", "rate"},
      {"qssh_retryDeadLetter", R"({"all":true,"rate":1000001})", "rate"},
      {"qssh_purgeDeadLetters", R"({"message_id":1,"all":true})", "all"},
      {"qssh_lease", R"({"duration_ms":99})", "duration_ms"},
      {"qssh_extend", R"({"leases":[1],"duration_ms":3600001})", "duration_ms"},
      {"qssh_submitMessage", R"({"message":)" + gossip("x") + R"(,"expires_at_ms":0})", "expires_at_ms"},
      {"qssh_getMetrics", "[1]", "params"},
      {"qssh_peek", R"({"after":{"message_id":1}})", "after"},
      {"qssh_peek", R"({"after":{"message_id":1,"priority":"Higher"}})", "after.priority"},
      {"qssh_submitMessage", "[]", "message"},
      {"qssh_submitMessage", "{}", "message"},
      {"qssh_submitMessage", R"({"durability":"sync"})", "message"},
      {"qssh_submitMessage", R"({"Gosip":{}})", "Gosip"},
      {"qssh_submitMessage", R"({"Gossip":{"topic":"x","data":[1,2,300]}})", "Gossip.data[2]"},
      {"qssh_submitMessage", R"({"message":)" + gossip("x") + R"(,"wait":"finalized"})", "wait"},
      {"qssh_submitMessage", R"({"message":)" + gossip("x") + R"(,"durability":"perhaps"})", "durability"},
      {"qssh_submitMessage",
       R"({"message":)" + gossip("x") + R"(,"idempotency_key":")" + std::string(129, 'k') + R"("})", "idempotency_key"},
      {"qssh_submitMessage", "[" + gossip("x") + R"(,"sync"])", "params[1]"},
      {"qssh_submitMessage", "[" + gossip("x") + ",{},{}]", "params"},
      {"qssh_submitBatch", R"({"messages":[]})", "messages"},
      {"qssh_submitBatch", R"({"messages":[)" + gossip("x") + R"(,{"Vote":{}}]})", "messages[1].Vote.validator"},
      {"qssh_submitBatch", R"({"messages":[7]})", "messages[0]"},
  };
  for (const auto& wrong : wrongs) {
    const auto error = bed.error(wrong.method, wrong.params);
    EXPECT_EQ(error.at("code"), -32602) << wrong.method << wrong.params;
    EXPECT_EQ(error.at("data").at("field"), wrong.field) << queue::write_json(error);
    EXPECT_TRUE(error.at("data").at("expected").is_string());
  }
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 0);
}

TEST(Methods, WhatCameIsInTheMessageAndWhatWasExpectedBesideIt) {
  JsonBed bed;
  struct Wrong {
    const char* method;
    std::string params;
    const char* got;
  };
  const Wrong wrongs[] = {
      {"node_addValidator", R"({"name":"Bad Name"})", ", got the string \"Bad Name\""},
      {"qssh_submitMessage", R"({"message":)" + gossip("x") + R"(,"wait":"finalized"})",
       "wait: expected \"queued\", got the string \"finalized\""},
      {"qssh_submitMessage", R"({"Gossip":{"topic":"x","data":"0xZ"}})", ", got 'Z' as hex digit 1"},
      {"qssh_ack", R"({"leases":["7, got 7"]})", ", got the string \"7, got 7\""},
      {"qssh_lease", R"({"max":0})", "max: expected an integer from 1 to 1000, got the number 0"},
  };
  for (const auto& wrong : wrongs) {
    const auto error = bed.error(wrong.method, wrong.params);
    const auto message = std::string(error.at("message").as_string());
    EXPECT_TRUE(message.ends_with(wrong.got)) << message;
    const auto expected = std::string(error.at("data").at("expected").as_string());
    EXPECT_TRUE(expected.starts_with("expected ")) << expected;
    EXPECT_EQ(expected.find("got"), std::string::npos) << expected;
    EXPECT_NE(message.find(expected), std::string::npos) << message;
  }
}

TEST(Methods, EveryFormOfASubmitIsTaken) {
  JsonBed bed;
  for (const auto& params : {gossip("a"), "[" + gossip("b") + "]", R"({"message":)" + gossip("c") + "}",
                             "[" + gossip("d") + R"(,{"durability":"sync"}])",
                             R"({"message":)" + gossip("e") + R"(,"durability":"sync","idempotency_key":"k"})"}) {
    const auto result = bed.result("qssh_submitMessage", params);
    EXPECT_EQ(result.at("persisted"), params.find("sync") != std::string::npos) << params;
  }
  const auto again = bed.result("qssh_submitMessage",
                                R"({"message":)" + gossip("e") + R"(,"durability":"sync","idempotency_key":"k"})");
  EXPECT_EQ(again.at("duplicate"), true);
  EXPECT_EQ(again.at("message_id"), 5);
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 5);
}

TEST(Methods, LeasesAreAckedNackedAndExtended) {
  JsonBed bed;
  for (const char* topic : {"a", "b", "c"}) (void)bed.result("qssh_submitMessage", gossip(topic));
  const auto leased = bed.result("qssh_lease", R"({"max":3,"duration_ms":5000,"kinds":["Gossip"]})");
  ASSERT_EQ(leased.get_array().size(), 3U);
  const auto lease = [&](std::size_t i) { return queue::write_json(leased.at(i).at("lease")); };
  EXPECT_EQ(leased.at(0).at("deliveries"), 1);
  EXPECT_TRUE(leased.at(0).at("deadline_ms").is_int64());
  EXPECT_EQ(queue::write_json(bed.result("qssh_ack", "[[" + lease(0) + "," + lease(0) + ",999]]").at("lost")),
            "[" + lease(0) + ",999]");
  EXPECT_EQ(bed.result("qssh_extend", "[[" + lease(1) + "],60000]").at("done"), 1);
  EXPECT_EQ(bed.error("qssh_removeMessage", R"({"message_id":2})").at("code"), -32011);
  EXPECT_EQ(bed.result("qssh_find", R"({"message_id":2})").at("state"), "leased");
  EXPECT_EQ(bed.result("qssh_nack", R"({"leases":[)" + lease(1) + R"(],"delay_ms":0,"error":"no"})").at("done"), 1);
  EXPECT_EQ(bed.result("qssh_find", R"({"message_id":2})").at("state"), "ready");
  EXPECT_EQ(bed.result("qssh_find", R"({"message_id":1})").at("state"), "gone");
  EXPECT_EQ(bed.result("qssh_getQueueDepth", R"({"by_kind":true})").at("by_kind").at("Gossip").at("leased"), 1);
}

TEST(Methods, PeekGoesOnFromACursor) {
  JsonBed bed;
  for (const char* topic : {"a", "b", "c"}) (void)bed.result("qssh_submitMessage", gossip(topic));
  (void)bed.result("qssh_submitMessage", R"({"Telemetry":{"source":"s","data":"0x"}})");
  EXPECT_EQ(bed.result("qssh_peek").get_array().size(), 4U);
  const auto second = bed.result("qssh_peek", R"({"count":2,"after":1})");
  ASSERT_EQ(second.get_array().size(), 2U);
  EXPECT_EQ(second.at(0).at("message_id"), 2);
  const auto behind = bed.result("qssh_peek", R"({"after":{"priority":"Normal","message_id":3}})");
  ASSERT_EQ(behind.get_array().size(), 1U);
  EXPECT_EQ(behind.at(0).at("message_id"), 4);
  EXPECT_EQ(bed.error("qssh_peek", R"({"after":77})").at("code"), -32006);
}

TEST(Methods, TheRangesThatAreToldAreThoseThatHold) {
  JsonBed bed;
  const auto told = [&](const char* method, const char* params) {
    return std::string(bed.error(method, params).at("data").at("expected").get_string());
  };
  EXPECT_NE(told("qssh_retryDeadLetter", R"({"all":true,"rate":1e-10})").find("from 0.001 to 1000000"),
            std::string::npos);
  EXPECT_EQ(bed.result("qssh_retryDeadLetter", R"({"all":true,"rate":0})").at("retried"), 0);
  EXPECT_NE(told("qssh_lease", R"({"duration_ms":0})").find("from 100 to 3600000 by default"), std::string::npos);
  EXPECT_TRUE(bed.result("qssh_lease", R"({"duration_ms":100})").get_array().empty());
  EXPECT_TRUE(bed.result("qssh_lease", R"({"duration_ms":3600000})").get_array().empty());
  const auto submit = R"({"message":{"Gossip":{"topic":"x","data":[]}},"expires_at_ms":0})";
  EXPECT_NE(told("qssh_submitMessage", submit).find("from 1 to"), std::string::npos);
}

TEST(Methods, TheSettingsBoundBatchesAndLeases) {
  queue::Options options;
  options.max_batch_messages = 1'500;
  options.lease_max = std::chrono::hours(48);
  JsonBed bed(options);
  const auto batch = [](int count) {
    std::string messages;
    for (int i = 0; i < count; ++i) messages += (i == 0 ? "" : ",") + gossip("x");
    return R"({"messages":[)" + messages + "]}";
  };
  EXPECT_EQ(bed.result("qssh_submitBatch", batch(1'500)).at("message_ids").as_array().size(), 1'500U);
  const auto over = bed.error("qssh_submitBatch", batch(1'501));
  EXPECT_EQ(over.at("code"), -32602);
  EXPECT_EQ(over.at("message"), "messages: expected an array of 1 to 1500 messages, got an array of 1501");
  EXPECT_EQ(over.at("data").at("expected"), "expected an array of 1 to 1500 messages");
  EXPECT_EQ(bed.result("qssh_lease", R"({"duration_ms":172800000})").as_array().size(), 1U);
  EXPECT_EQ(bed.result("qssh_extend", R"({"leases":[1],"duration_ms":172800000})").at("done"), 1);
  EXPECT_EQ(bed.error("qssh_lease", R"({"duration_ms":172800001})").at("data").at("field"), "duration_ms");
  const auto document = bed.result("rpc.discover");
  for (const auto& method : document.at("methods").as_array()) {
    const auto name = method.at("name");
    const auto schema = [&](std::size_t place) { return method.at("params").at(place).at("schema"); };
    EXPECT_TRUE(name != "qssh_submitBatch" || schema(0).at("maxItems") == 1'500);
    EXPECT_TRUE(name != "qssh_lease" || schema(1).at("anyOf").at(0).at("maximum") == 172'800'000);
    if (name == "qssh_popMessage") {
      EXPECT_NE(queue::write_json(method.at("errors")).find("errors/Timeout"), std::string::npos) << "of ended waits";
    }
    if (name != "qssh_submitMessage") continue;
    const auto key = schema(2).at("anyOf").at(0);
    EXPECT_EQ(key.at("x-max-bytes"), 128);
    EXPECT_EQ(key.at("minLength"), 1);
  }
}

TEST(Methods, NullLeavesAParameterOutAlsoByName) {
  JsonBed bed;
  const auto submitted = bed.result("qssh_submitMessage",
                                    R"({"message":)" + gossip("x") + R"(,"durability":null,"idempotency_key":null})");
  EXPECT_EQ(submitted.at("message_id"), 1);
  EXPECT_EQ(bed.result("qssh_peek", R"({"count":null,"kinds":null,"after":null})").as_array().size(), 1U);
  EXPECT_EQ(bed.error("qssh_find", R"({"message_id":null})").at("data").at("field"), "message_id");
  EXPECT_EQ(bed.error("qssh_purge", R"({"all":null})").at("code"), -32602) << "as without it";
  const auto params = bed.error("qssh_peek", "null");
  EXPECT_EQ(params.at("code"), -32600);
  EXPECT_NE(params.at("message").as_string().find("leave params out"), boost::json::string::npos);
}

std::string large_gossip(std::size_t bytes) {
  return R"({"Gossip":{"topic":"x","data":"0x)" + std::string(2 * bytes, '0') + R"("}})";
}

TEST(Methods, LooksEndEarlyWhereTheBodiesAreMany) {
  queue::Options options;
  options.max_batch_bytes = 10'000;
  options.max_deliveries = 1;
  JsonBed bed(options);
  for (const std::size_t bytes : {4'000, 4'000, 4'000, 20'000, 10}) {
    (void)bed.result("qssh_submitMessage", large_gossip(bytes));
  }
  EXPECT_EQ(bed.result("qssh_peek").get_array().size(), 2U);
  EXPECT_EQ(bed.result("qssh_peek", R"({"after":2})").get_array().size(), 1U);
  EXPECT_EQ(bed.result("qssh_peek", R"({"after":3})").get_array().size(), 1U) << "one at least";
  EXPECT_EQ(bed.result("qssh_peek", R"({"after":4})").get_array().size(), 1U);

  for (int i = 0; i < 5; ++i) {
    const auto lease = bed.result("qssh_lease").at(0).at("lease");
    (void)bed.result("qssh_nack", R"({"leases":[)" + queue::write_json(lease) + "]}");
  }
  std::vector<std::size_t> pages;
  std::string after = "0";
  for (std::string params = "{}"; after != "null"; params = R"({"after":)" + after + "}") {
    const auto list = bed.result("qssh_listDeadLetters", params);
    pages.push_back(list.at("items").get_array().size());
    after = queue::write_json(list.at("next"));
  }
  EXPECT_EQ(pages, (std::vector<std::size_t>{2, 1, 1, 1}));
}

/// However the letter went that the cursor names, the list goes on behind its place.
void list_goes_on(std::string_view method, milliseconds apart) {
  queue::Options options;
  options.max_deliveries = 1;
  JsonBed bed(options);
  const auto die = [&] {
    const auto lease = bed.result("qssh_lease").at(0).at("lease");
    (void)bed.result("qssh_nack", R"({"leases":[)" + queue::write_json(lease) + "]}");
    bed.advance(apart);
  };
  for (const char* topic : {"a", "b", "c", "d"}) {
    (void)bed.result("qssh_submitMessage", gossip(topic));
    die();
  }
  const auto first = bed.result("qssh_listDeadLetters", R"({"limit":2})");
  ASSERT_EQ(first.at("items").at(1).at("message_id"), 2);
  (void)bed.result(method, R"({"message_id":2})");
  const auto after = R"("after":)" + queue::write_json(first.at("next")) + "}";
  const auto rest = bed.result("qssh_listDeadLetters", R"({"limit":2,)" + after).at("items").get_array();
  ASSERT_EQ(rest.size(), 2U) << method;
  EXPECT_EQ(rest.at(0).at("message_id"), 3) << method;
  EXPECT_EQ(rest.at(1).at("message_id"), 4) << method;
  if (method != "qssh_retryDeadLetter" || apart.count() == 0) return;
  die();  // the one that was tried again: its place is another one now
  const auto all = bed.result("qssh_listDeadLetters", "{" + after).at("items").get_array();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all.at(2).at("message_id"), 2);
}

TEST(Methods, DeadLettersAreListedFromAPlaceThatStaysWhenTheLetterHasGone) {
  for (const auto apart : {milliseconds(0), milliseconds(5)}) {
    list_goes_on("qssh_purgeDeadLetters", apart);
    list_goes_on("qssh_retryDeadLetter", apart);
  }
  JsonBed bed;
  EXPECT_EQ(bed.error("qssh_listDeadLetters", R"({"after":2})").at("data").at("field"), "after");
}

TEST(Methods, PausedKindsAreNotHandedOut) {
  JsonBed bed;
  (void)bed.result("qssh_submitMessage", gossip("a"));
  EXPECT_EQ(queue::write_json(bed.result("qssh_pause", R"({"kinds":["Gossip","Vote"]})")),
            R"({"paused":["Vote","Gossip"]})");
  EXPECT_TRUE(bed.result("qssh_popMessage").is_null());
  EXPECT_EQ(queue::write_json(bed.result("qssh_getMetrics").at("paused")), R"(["Vote","Gossip"])");
  EXPECT_EQ(queue::write_json(bed.result("qssh_resume", R"([["Gossip"]])")), R"({"paused":["Vote"]})");
  EXPECT_EQ(queue::write_json(bed.result("qssh_getMetrics").at("paused")), R"(["Vote"])");
  EXPECT_EQ(bed.result("qssh_popMessage").at("message_id"), 1);
}

TEST(Methods, AllIsAlsoWhatCameThisMillisecond) {
  queue::Options options;
  options.max_deliveries = 1;
  JsonBed bed(options);
  for (const char* topic : {"a", "b"}) (void)bed.result("qssh_submitMessage", gossip(topic));
  const auto lease = bed.result("qssh_lease").at(0).at("lease");
  (void)bed.result("qssh_nack", R"({"leases":[)" + queue::write_json(lease) + "]}");
  EXPECT_EQ(bed.result("qssh_purgeDeadLetters", R"({"all":true})").at("purged"), 1);
  EXPECT_EQ(bed.result("qssh_purge", R"({"all":true})").at("purged"), 1);
}

TEST(Methods, MetricsHaveTheSeedsFigures) {
  JsonBed bed;
  (void)bed.result("qssh_submitMessage", gossip("a"));
  const auto metrics = bed.result("qssh_getMetrics");
  EXPECT_EQ(metrics.at("queue_depth"), 1);
  for (const char* name : {"msg_rate", "latency", "health", "total_processed", "uptime"}) {
    EXPECT_TRUE(metrics.at(name).is_number()) << name;
  }
  EXPECT_TRUE(metrics.at("last_message_time").is_string());
  EXPECT_TRUE(metrics.at("health_parts").is_array());
}

TEST(Methods, TheEnginesRefusalsHaveTheirCodes) {
  queue::Options options;
  options.max_depth = 5;
  options.max_message_bytes = 100;
  JsonBed bed(options);
  const auto large =
      bed.error("qssh_submitMessage", R"({"Gossip":{"topic":"x","data":"0x)" + std::string(400, '0') + R"("}})");
  EXPECT_EQ(large.at("code"), -32005);
  EXPECT_EQ(large.at("data").at("limit"), 100);
  EXPECT_GT(large.at("data").at("size").as_int64(), 200);

  boost::json::value full;
  for (int i = 0; i < 6 && full.is_null(); ++i) {
    auto reply = bed.call("qssh_submitMessage", gossip("x"));
    if (auto* error = reply.get_object().if_contains("error")) full = *error;
  }
  ASSERT_TRUE(full.is_object());
  EXPECT_EQ(full.at("code"), -32001);
  EXPECT_EQ(full.at("data").at("reason"), "QueueFull");
  EXPECT_TRUE(full.at("data").at("retry_after_ms").is_int64());
  EXPECT_EQ(full.at("data").at("bound"), "max_depth");
  EXPECT_EQ(bed.error("qssh_retryDeadLetter", R"({"message_id":77})").at("code"), -32006);
}

/// The answers are a node's: tests/docs/json_rpc.py writes and tries them.
std::string without_answers(std::string text) {
  constexpr std::string_view kCallEnds = "'\n```\n";
  constexpr std::string_view kAnswer = "\n```json\n";
  for (auto at = text.find(kCallEnds); at != text.npos; at = text.find(kCallEnds, at + 1)) {
    const auto answer = at + kCallEnds.size();
    if (text.compare(answer, kAnswer.size(), kAnswer) != 0) continue;
    text.erase(answer, text.find("\n```\n", answer + kAnswer.size()) + 5 - answer);
  }
  return text;
}

TEST(Methods, TheReferenceIsTheTable) {
  constexpr const char* kPath = "docs/json-rpc.md";
  std::ifstream file(kPath);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (std::getenv("QH_WRITE_DOCS") != nullptr && without_answers(text) != reference_markdown()) {
    std::ofstream(kPath) << reference_markdown();
    return;
  }
  EXPECT_TRUE(without_answers(text) == reference_markdown())
      << kPath << " is stale; its first lines say how it is made";
}

}  // namespace
}  // namespace qh::rpc
