#include "rpc/binary_link.h"

#include <gtest/gtest.h>
#include <boost/json/array.hpp>

#include "base/codec.h"
#include "queue/message_json.h"
#include "rpc/link_bed.h"
#include "rpc/method.h"
#include "rpc/replies.h"

namespace qh::rpc {
namespace {

using binary::Kind;
using queue::Durability;
using std::chrono::milliseconds;

Bytes gossip(std::string_view topic) {
  return queue::encode(queue::Gossip{std::string(topic), to_bytes("data")}).value();
}

template <class Request>
Bytes framed(std::uint64_t id, const Request& request) {
  Bytes out;
  binary::put_request(out, id, request);
  return out;
}

TEST(BinaryLink, EveryMethodAnswersTheSameThroughBothCodecs) {
  // Two of the same queues, so that one codec's call does not change what the other one finds.
  JsonBed by_json;
  LinkBed by_frames;
  for (const auto& method : methods()) {
    for (const std::string_view params : {method.example_params, std::string_view(R"({"nobody":1})")}) {
      SCOPED_TRACE(std::string(method.name) + std::string(params));
      const auto json = by_json.call(method.name, params).get_object();
      const auto frame = by_frames.ask_json(method.name, params);
      EXPECT_EQ(frame.header.method, method.number);
      if (const auto* result = json.if_contains("result")) {
        ASSERT_TRUE(frame.ok());
        EXPECT_TRUE(frame.header.json());
        const bool same_now = method.name != "qssh_getMetrics";  // its rates depend on the time
        EXPECT_TRUE(!same_now || frame.text() == queue::write_json(*result)) << frame.text();
        continue;
      }
      ASSERT_EQ(frame.header.kind, Kind::kError);
      const auto& error = json.at("error").get_object();
      EXPECT_EQ(frame.error().code, error.at("code").as_int64());
      EXPECT_EQ(frame.error().message, error.at("message").get_string());
      EXPECT_EQ(queue::parse_json(frame.error().data).value(), error.at("data"));
    }
  }
}

TEST(BinaryLink, TypedResultsSayWhatJsonSays) {
  JsonBed by_json;
  LinkBed by_frames;
  const auto expect_same = [&](std::string_view method, std::string_view params, Outcome outcome) {
    EXPECT_EQ(queue::write_json(by_json.result(method, params)), queue::write_json(to_json(std::move(outcome))));
  };
  const auto message = gossip("a");
  const std::string as_json = R"({"Gossip":{"topic":"a","data":{"base64":"ZGF0YQ=="}}})";
  auto got = by_frames.ask(binary::Submit{.message = message, .durability = Durability::kSync, .idempotency_key = "k"});
  const auto keyed = R"({"message":)" + as_json + R"(,"durability":"sync","idempotency_key":"k"})";
  expect_same("qssh_submitMessage", keyed, binary::read_submitted(got.body).value());
  got = by_frames.ask(binary::Submit{.message = message, .idempotency_key = "k"});
  expect_same("qssh_submitMessage", keyed, binary::read_submitted(got.body).value());
  const std::vector<binary::Submit> batch(3, {.message = message});
  got = by_frames.ask(binary::SubmitBatch{.messages = batch, .durability = Durability::kSync});
  expect_same("qssh_submitBatch",
              R"({"durability":"sync","messages":[)" + as_json + "," + as_json + "," + as_json + "]}",
              binary::read_message_ids(got.body).value());
  got = by_frames.ask(binary::Pop{});
  expect_same("qssh_popMessage", "[]", binary::read_taken(got.body).value());
  got = by_frames.ask(binary::Lease{.max = 5, .duration_ms = 5'000});
  expect_same("qssh_lease", R"({"max":5,"duration_ms":5000})", binary::read_leased(got.body).value());
  got = by_frames.ask(binary::Pop{});
  expect_same("qssh_popMessage", "[]", binary::read_taken(got.body).value());
  for (int i = 0; i < 2; ++i) {
    (void)by_frames.ask(binary::Submit{.message = message, .durability = Durability::kSync});
    (void)by_json.result("qssh_submitMessage", R"({"message":)" + as_json + R"(,"durability":"sync"})");
  }
  got = by_frames.ask(binary::PopBatch{.max = 5});
  expect_same("qssh_popBatch", R"({"max":5})", binary::read_taken_batch(got.body).value());
  got = by_frames.ask(binary::PopBatch{.max = 5});
  expect_same("qssh_popBatch", "[5]", binary::read_taken_batch(got.body).value());
  using queue::LeaseId;
  const LeaseId one[] = {LeaseId(1)}, two[] = {LeaseId(2)}, three[] = {LeaseId(3), LeaseId(9)};
  got = by_frames.ask(binary::Extend{.leases = three, .duration_ms = 1'000});
  expect_same("qssh_extend", R"({"leases":[3,9],"duration_ms":1000})", binary::read_outcome(got.body).value());
  got = by_frames.ask(binary::Ack{.leases = one});
  expect_same("qssh_ack", R"({"leases":[1]})", binary::read_outcome(got.body).value());
  got = by_frames.ask(binary::Nack{.leases = two, .delay_ms = 0, .error = "no"});
  expect_same("qssh_nack", R"({"leases":[2],"delay_ms":0,"error":"no"})", binary::read_outcome(got.body).value());
  EXPECT_EQ(by_json.result("qssh_getQueueDepth"), by_frames.result("qssh_getQueueDepth"));
}

TEST(BinaryLink, AnAnswerOfADurableSubmitHasAtMost48BytesBesideTheMessage) {
  LinkBed bed;
  const auto message = gossip("a");
  const auto request = framed(1, binary::Submit{.message = message, .durability = Durability::kSync});
  EXPECT_LE(request.size(), message.size() + 48);
  bed.send(request);
  EXPECT_LE(bed.link->out().size(), 48U);
  (void)bed.answers();
  bed.send(framed(2, binary::Pop{}));
  EXPECT_LE(bed.link->out().size(), message.size() + 48);
}

TEST(BinaryLink, ManyRequestsInOneReadAreOneFlush) {
  LinkBed bed;
  const auto message = gossip("a");
  Bytes all;
  for (std::uint64_t id = 1; id <= 100; ++id)
    binary::put_request(all, id, binary::Submit{.message = message, .durability = Durability::kSync});
  bed.flushes = 0;
  bed.send(all);
  const auto answers = bed.answers();
  ASSERT_EQ(answers.size(), 100U);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].header.id, i + 1);
    EXPECT_EQ(binary::read_submitted(answers[i].body)->id.value(), i + 1);
  }
  EXPECT_EQ(bed.flushes, 1);
}

TEST(BinaryLink, BytesMayComeOneByOne) {
  LinkBed bed;
  const auto message = gossip("a");
  for (const auto byte : framed(5, binary::Submit{.message = message})) bed.send(ByteView(&byte, 1));
  EXPECT_EQ(bed.answer().header.id, 5U);
}

TEST(BinaryLink, AnswersComeAsTheCallsEnd) {
  LinkBed bed;
  const auto message = gossip("a");
  bed.send(framed(1, binary::Pop{.wait_ms = 10'000}));
  EXPECT_TRUE(bed.answers().empty());
  EXPECT_EQ(bed.link->open_calls(), 1U);
  bed.send(framed(2, binary::Submit{.message = message, .durability = Durability::kSync}));
  const auto answers = bed.answers();
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[0].header.id, 2U);
  EXPECT_EQ(answers[1].header.id, 1U);
  EXPECT_TRUE(binary::read_taken(answers[1].body).value().has_value());
  EXPECT_EQ(bed.link->open_calls(), 0U);
}

TEST(BinaryLink, ACancelEndsAWaitAndNothingElse) {
  LinkBed bed;
  const auto message = gossip("a");
  bed.send(framed(1, binary::Pop{.wait_ms = 10'000}));
  bed.send(framed(2, binary::Pop{.wait_ms = 10'000}));
  Bytes cancel;
  binary::put_cancel(cancel, 1);
  binary::put_cancel(cancel, 77);
  bed.send(cancel);
  const auto ended = bed.answer();
  EXPECT_EQ(ended.header.id, 1U);
  EXPECT_EQ(ended.error().code, static_cast<int>(Code::kTimeout));
  bed.send(framed(3, binary::Submit{.message = message}));
  const auto answers = bed.answers();
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_TRUE(answers[0].ok() && answers[1].ok());
}

TEST(BinaryLink, WhoGoesAwayIsHandedNothing) {
  LinkBed bed;
  const auto message = gossip("a");
  bed.send(framed(1, binary::Pop{.wait_ms = 10'000}));
  bed.link.reset();
  (void)bed.result("qssh_submitMessage", R"({"Gossip":{"topic":"t","data":"0x"}})");
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 1);
}

TEST(BinaryLink, WhoSendsNoMoreIsStillAnsweredAndWaitsForNothing) {
  LinkBed bed;
  bed.send(framed(1, binary::Pop{.wait_ms = 10'000}));
  bed.link->abandon();
  EXPECT_EQ(bed.answer().error().code, static_cast<int>(Code::kTimeout));
  EXPECT_EQ(bed.link->open_calls(), 0U);
}

TEST(BinaryLink, ASubmitThatComesTooLateIsAnsweredOnce) {
  LinkBed bed;
  const auto message = gossip("a");
  (void)bed.link->take(framed(1, binary::Submit{.message = message, .durability = Durability::kSync, .timeout_ms = 5}));
  EXPECT_EQ(bed.armed_timers(), 1U);
  bed.settle();
  EXPECT_TRUE(bed.answer().ok());
  EXPECT_EQ(bed.armed_timers(), 0U);
  bed.advance(milliseconds(10));
  EXPECT_TRUE(bed.answers().empty());
}

TEST(BinaryLink, ALinkThatDiesTakesItsTimersWithIt) {
  LinkBed bed;
  const auto message = gossip("a");
  (void)bed.link->take(framed(1, binary::Submit{.message = message, .durability = Durability::kSync, .timeout_ms = 5}));
  bed.link.reset();
  EXPECT_EQ(bed.armed_timers(), 0U);
  bed.settle();
}

TEST(BinaryLink, OverItsBoundsItTakesNoMore) {
  LinkBed bed;
  Bytes all;
  for (std::uint64_t id = 1; id <= BinaryLink::kOpenCallsMax + 1; ++id)
    binary::put_request(all, id, binary::Pop{.wait_ms = 1'000});
  bed.send(all);
  EXPECT_TRUE(bed.link->full());
  EXPECT_EQ(bed.not_taken(), all.size() / (BinaryLink::kOpenCallsMax + 1));
  bed.advance(milliseconds(1'001));
  EXPECT_EQ(bed.answers().size(), BinaryLink::kOpenCallsMax);
  bed.go_on();
  EXPECT_EQ(bed.not_taken(), 0U);
  bed.advance(milliseconds(1'001));
  EXPECT_EQ(bed.answer().header.id, BinaryLink::kOpenCallsMax + 1);
}

TEST(BinaryLink, ACancelTakesNoPlace) {
  LinkBed bed;
  Bytes all;
  const auto last = BinaryLink::kOpenCallsMax + 1;
  for (std::uint64_t id = 1; id <= last; ++id) binary::put_request(all, id, binary::Pop{.wait_ms = 1'000});
  Bytes ahead = framed(last, binary::Pop{.wait_ms = 1'000});
  binary::put_cancel(ahead, last);  // has no turn yet: stays for it
  binary::put_cancel(ahead, 7);
  ahead.resize(ahead.size() + 3);  // the begin of a next one
  bed.send(all);
  ASSERT_TRUE(bed.link->full());
  EXPECT_EQ(bed.link->cancel_ahead(ahead, 0), ahead.size() - 3);
  const auto answer = bed.answer();
  EXPECT_EQ(answer.header.id, 7U);
  EXPECT_NE(answer.error().data.find(R"("outcome":"nothing was taken")"), std::string::npos) << answer.error().data;
  EXPECT_FALSE(bed.link->full());
}

TEST(BinaryLink, BehindTheEndOnlyHandOutsAreRefused) {
  LinkBed bed;
  const auto message = gossip("a");
  ASSERT_TRUE(bed.ask(binary::Submit{.message = message}).ok());
  bed.link->hand_out_no_more();
  for (const auto& refused : {bed.ask(binary::Pop{}), bed.ask(binary::PopBatch{}), bed.ask(binary::Lease{})}) {
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, static_cast<int>(Code::kTimeout));
    EXPECT_NE(refused.error().data.find("nothing was taken"), std::string::npos) << refused.error().data;
  }
  EXPECT_TRUE(bed.ask(binary::Submit{.message = message}).ok());
  EXPECT_EQ(bed.ask_json("qssh_getQueueDepth", "").text(), "2");
}

TEST(BinaryLink, AnswersThatNobodyTakesEndTheReading) {
  LinkBed bed;
  Bytes one;
  binary::put_json_request(one, 1, find_method("rpc.discover")->number, "");
  for (int i = 0; i < 1'000 && bed.not_taken() == 0; ++i) bed.send(one);
  EXPECT_TRUE(bed.link->full());
  EXPECT_EQ(bed.not_taken(), one.size());
  EXPECT_GE(bed.link->out().size(), BinaryLink::kUnsentBytesMax);
  EXPECT_LT(bed.link->out().size(), 2 * BinaryLink::kUnsentBytesMax);
}

TEST(BinaryLink, MalformedBodiesAreErrorsOfTheirRequestAlone) {
  LinkBed bed;
  const auto message = gossip("a");
  struct Wrong {
    std::string_view method;
    std::string_view body;
    std::uint8_t flags;
    Code code;
    std::string_view field;
  };
  using std::string_view_literals::operator""sv;
  const Wrong wrongs[] = {
      {"qssh_popMessage", ""sv, 0, Code::kInvalidParams, "params"},
      {"qssh_popMessage", "\4\0"sv, 0, Code::kInvalidParams, "params"},
      {"qssh_popMessage", "\0\0x"sv, 0, Code::kInvalidParams, "params"},
      {"qssh_popMessage", "\1\0\0"sv, 0, Code::kInvalidParams, "kinds"},
      {"qssh_popMessage", "\1\0\x40"sv, 0, Code::kInvalidParams, "kinds"},
      {"qssh_popMessage", "\2\0\1"sv, 0, Code::kInvalidParams, "wait_ms"},
      {"qssh_popMessage", "\2\0\1\1\1\1\1\1\1\1"sv, 0, Code::kInvalidParams, "wait_ms"},
      {"qssh_submitMessage", "\0\0"sv, 0, Code::kInvalidParams, "message"},
      {"qssh_submitMessage", "\1\0\2\0\0\0x"sv, 0, Code::kInvalidParams, "message"},
      {"qssh_submitMessage", "\3\0\0\0\0\0\2"sv, 0, Code::kInvalidParams, "durability"},
      {"qssh_submitMessage", "\5\0\0\0\0\0\1\0\0\0\xff"sv, 0, Code::kInvalidParams, "idempotency_key"},
      {"qssh_submitMessage", "\5\0\0\0\0\0\0\0\0\0"sv, 0, Code::kInvalidParams, "idempotency_key"},
      {"qssh_submitMessage", "\1\0\1\0\0\0\x63"sv, 0, Code::kInvalidParams, "message"},
      {"qssh_submitMessage", "\1\0\0\0\0\0"sv, 0, Code::kInvalidParams, "message"},
      {"qssh_submitMessage", "\1\0\6\0\0\0\4\1\0\0\0\xff"sv, 0, Code::kInvalidParams, "Gossip.topic"},
      {"qssh_submitMessage", "\1\0\5\0\0\0\4\1\0\0\0"sv, 0, Code::kInvalidParams, "Gossip.topic"},
      {"qssh_submitBatch", "\1\0\1\0\0"sv, 0, Code::kInvalidParams, "messages"},
      {"qssh_submitBatch", "\1\0\1\0\0\0\1\0\6\0\0\0\4\1\0\0\0\xff"sv, 0, Code::kInvalidParams,
       "messages[0].Gossip.topic"},
      {"qssh_submitBatch", "\1\0\0\0\0\0"sv, 0, Code::kInvalidParams, "messages"},
      {"qssh_submitBatch", "\1\0\1\0\0\0\0\0"sv, 0, Code::kInvalidParams, "messages[0].message"},
      {"qssh_ack", "\1\0\xff\xff\xff\xff"sv, 0, Code::kInvalidParams, "leases"},
      {"qssh_ack", "\1\0\1\0\0\0\0\0\0\0\0\0\0\0"sv, 0, Code::kInvalidParams, "leases[0]"},
      {"qssh_find", "\0\0"sv, 0, Code::kInvalidParams, "params"},
      {"qssh_find", "{"sv, 1, Code::kParse, {}},
      {"qssh_find", "7"sv, 1, Code::kInvalidRequest, "params"},
      {"qssh_find", ""sv, 1, Code::kInvalidParams, "message_id"},
  };
  for (const auto& wrong : wrongs) {
    SCOPED_TRACE(std::string(wrong.method) + " " + to_hex(as_bytes(wrong.body)));
    Bytes out;
    binary::put_frame(out, {.id = 9, .method = find_method(wrong.method)->number, .flags = wrong.flags},
                      as_bytes(wrong.body));
    bed.send(out);
    const auto answer = bed.answer();
    ASSERT_EQ(answer.header.kind, Kind::kError);
    EXPECT_EQ(answer.error().code, static_cast<int>(wrong.code)) << answer.error().message;
    const auto data = queue::parse_json(answer.error().data).value();
    const bool has_field = wrong.field.data() != nullptr;
    EXPECT_TRUE(!has_field || data.at("field").as_string() == wrong.field) << answer.error().message;
  }
  EXPECT_TRUE(bed.ask(binary::Submit{.message = message}).ok()) << "the stream goes on";
}

TEST(BinaryLink, UnknownMethodsRolesAndTheStopAreErrors) {
  LinkBed bed;
  const auto message = gossip("a");
  for (const std::uint16_t number : std::initializer_list<std::uint16_t>{0, 999, 65'535}) {
    Bytes out;
    binary::put_json_request(out, 1, number, "");
    bed.send(out);
    EXPECT_EQ(bed.answer().error().code, static_cast<int>(Code::kMethodNotFound)) << number;
  }
  Caller reader{.name = "reader", .roles = {}};
  reader.roles.add(Role::kRead);
  bed.link = std::make_unique<BinaryLink>(bed.dispatcher(), reader, [] {});
  Bytes preface;
  binary::put_preface(preface);
  bed.send(preface);
  bed.link->out().clear();
  EXPECT_EQ(bed.ask(binary::Submit{.message = message}).error().code, static_cast<int>(Code::kForbidden));
  EXPECT_TRUE(bed.ask_json("qssh_getQueueDepth", "").ok());

  LinkBed stopping;
  stopping.dispatcher().begin_stop();
  EXPECT_EQ(stopping.ask(binary::Submit{.message = message}).error().code, static_cast<int>(Code::kShuttingDown));
  EXPECT_TRUE(stopping.ask_json("qssh_getQueueDepth", "").ok());
}

TEST(BinaryLink, ErrorsOfTheQueueAreThoseOfJson) {
  queue::Options options;
  options.max_depth = 1;
  LinkBed bed(options);
  const auto message = queue::encode(queue::Vote{.validator = "v"}).value();
  ASSERT_TRUE(bed.ask(binary::Submit{.message = message}).ok());
  const auto full = bed.ask(binary::Submit{.message = message});
  EXPECT_EQ(full.error().code, static_cast<int>(Code::kQueueFull));
  EXPECT_TRUE(full.error().data.starts_with(R"({"reason":"QueueFull",)")) << full.error().data;
  EXPECT_NE(full.error().data.find("retry_after_ms"), std::string::npos);
  const auto large = queue::encode(queue::Gossip{"t", Bytes((1U << 20) + 1)}).value();
  EXPECT_EQ(bed.ask(binary::Submit{.message = large}).error().code, static_cast<int>(Code::kTooLarge));
}

}  // namespace
}  // namespace qh::rpc
