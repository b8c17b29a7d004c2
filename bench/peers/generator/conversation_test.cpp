#include "bench/peers/generator/conversation.h"

#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "queue/message.h"
#include "rpc/binary_body.h"

namespace qh::bench {
namespace {

using Kind = Step::Kind;
using Make = std::function<std::unique_ptr<Conversation>()>;

/// Keeps what was not consumed, as a Client does.
class Feed {
 public:
  explicit Feed(Conversation& conversation) : conversation_(conversation) {}

  /// The last step that these bytes lead to.
  Kind operator()(std::string_view bytes) {
    in_ += bytes;
    for (;;) {
      const auto step = conversation_.on_input(in_, sent);
      in_.erase(0, step.consumed);
      if (step.kind != Kind::kSend || in_.empty()) return step.kind;
    }
  }

  std::string sent;
  bool all_consumed() const { return in_.empty(); }

 private:
  Conversation& conversation_;
  std::string in_;
};

/// The answer is whole at its last byte and not before, wherever it is cut.
void expect_whole_at_the_end(const Make& make, Work work, const std::string& answer) {
  for (std::size_t cut = 0; cut <= answer.size(); ++cut) {
    const auto conversation = make();
    std::string out;
    conversation->start(work, out);
    EXPECT_FALSE(out.empty());
    Feed feed(*conversation);
    if (cut < answer.size()) {
      const auto before = feed(std::string_view(answer).substr(0, cut));
      ASSERT_TRUE(before == Kind::kMore || before == Kind::kSend) << "cut at " << cut << conversation->failure();
    }
    ASSERT_EQ(feed(std::string_view(answer).substr(cut < answer.size() ? cut : 0)), Kind::kDone)
        << "cut at " << cut << ": " << conversation->failure();
    ASSERT_TRUE(feed.all_consumed()) << "cut at " << cut;
  }
}

void expect_whole_byte_by_byte(const Make& make, Work work, const std::string& answer) {
  const auto conversation = make();
  std::string out;
  conversation->start(work, out);
  Feed feed(*conversation);
  for (std::size_t i = 0; i + 1 < answer.size(); ++i) ASSERT_NE(feed(answer.substr(i, 1)), Kind::kDone) << i;
  EXPECT_EQ(feed(answer.substr(answer.size() - 1)), Kind::kDone) << conversation->failure();
}

void expect_answer(const Make& make, Work work, const std::string& answer) {
  expect_whole_at_the_end(make, work, answer);
  expect_whole_byte_by_byte(make, work, answer);
}

void expect_failure(const Make& make, Work work, const std::string& answer, const std::string& told) {
  const auto conversation = make();
  std::string out;
  conversation->start(work, out);
  EXPECT_EQ(Feed(*conversation)(answer), Kind::kFailed) << answer;
  EXPECT_NE(conversation->failure().find(told), std::string::npos) << conversation->failure();
}

std::string repeated(const std::string& text, unsigned count, const std::string& between = "") {
  std::string all;
  for (unsigned i = 0; i < count; ++i) all += (i == 0 ? "" : between) + text;
  return all;
}

// -- Redis ----------------------------------------------------------------------------------------------------------

const std::string kBulk = "$256\r\n" + message_body() + "\r\n";

TEST(Redis, AnAnswerIsWholeAtItsLastByte) {
  const Make one = [] { return make_redis(1); };
  const Make sixteen = [] { return make_redis(16); };
  expect_answer(one, Work::kPut, ":1\r\n");
  expect_answer(one, Work::kTake, kBulk);
  expect_answer(sixteen, Work::kPut, ":16\r\n");
  expect_answer(sixteen, Work::kTake, "*16\r\n" + repeated(kBulk, 16));
}

TEST(Redis, WhatIsNoMessageIsAFailure) {
  const Make one = [] { return make_redis(1); };
  expect_failure(one, Work::kPut, "-MISCONF disk\r\n", "MISCONF");
  expect_failure(one, Work::kTake, "$-1\r\n", "LPOP");
  expect_failure(one, Work::kTake, "$3\r\nabc\r\n", "LPOP");
  expect_failure([] { return make_redis(16); }, Work::kTake, "*15\r\n", "LPOP");
  expect_failure([] { return make_redis(16); }, Work::kTake, "*-1\r\n", "LPOP");
}

TEST(Redis, ARequestSaysItsParts) {
  std::string put, take;
  make_redis(2)->start(Work::kPut, put);
  make_redis(2)->start(Work::kTake, take);
  EXPECT_EQ(put, "*4\r\n$5\r\nRPUSH\r\n$5\r\nqueue\r\n" + kBulk + kBulk);
  EXPECT_EQ(take, "*3\r\n$4\r\nLPOP\r\n$5\r\nqueue\r\n$1\r\n2\r\n");
}

// -- beanstalkd -----------------------------------------------------------------------------------------------------

TEST(Beanstalkd, AnAnswerIsWholeAtItsLastByte) {
  expect_answer(make_beanstalkd, Work::kPut, "INSERTED 12\r\n");
  expect_answer(make_beanstalkd, Work::kTake, "RESERVED 12 256\r\n" + message_body() + "\r\nDELETED\r\n");
}

TEST(Beanstalkd, ATakeDeletesWhatItReserved) {
  const auto conversation = make_beanstalkd();
  std::string out;
  conversation->start(Work::kTake, out);
  Feed feed(*conversation);
  EXPECT_EQ(feed("RESERVED 4711 256\r\n" + message_body() + "\r\n"), Kind::kSend);
  EXPECT_EQ(feed.sent, "delete 4711\r\n");
  EXPECT_EQ(feed("DELETED\r\n"), Kind::kDone);
}

TEST(Beanstalkd, WhatIsNoMessageIsAFailure) {
  expect_failure(make_beanstalkd, Work::kPut, "BURIED 1\r\n", "BURIED");
  expect_failure(make_beanstalkd, Work::kTake, "TIMED_OUT\r\n", "TIMED_OUT");
  expect_failure(make_beanstalkd, Work::kTake, "RESERVED 1 3\r\nabc\r\n", "RESERVED 1 3");
  expect_failure(make_beanstalkd, Work::kTake, "RESERVED 1 256\r\n" + message_body() + "\r\nNOT_FOUND\r\n",
                 "NOT_FOUND");
}

// -- PostgreSQL -----------------------------------------------------------------------------------------------------

std::string frame(char type, const std::string& body) {
  const auto length = body.size() + 4;
  return std::string{type, 0, 0, static_cast<char>(length >> 8), static_cast<char>(length)} + body;
}
std::string tag(const std::string& text) { return frame('C', text + '\0'); }
const std::string kBound = frame('2', "");
const std::string kReady = frame('Z', "I");
const std::string kRow = frame('D', std::string("\0\1\0\0\1\0", 6) + message_body());

TEST(Postgres, AnAnswerIsWholeAtItsLastByte) {
  expect_answer(make_postgres, Work::kPut, kBound + tag("INSERT 0 1") + kReady);
  expect_answer(make_postgres, Work::kTake, kBound + kRow + tag("DELETE 1") + kReady);
}

TEST(Postgres, WhatIsNoMessageIsAFailure) {
  const auto error = frame('E', std::string("SERROR\0C42P01\0Mno such table\0\0", 30));
  expect_failure(make_postgres, Work::kPut, error + kReady, "42P01 no such table");
  expect_failure(make_postgres, Work::kTake, kBound + tag("DELETE 0") + kReady, "DELETE 0");
  expect_failure(make_postgres, Work::kTake, kBound + kReady, "nothing was done");
}

TEST(Postgres, TheStatementsArePreparedBeforeTheFirstRequest) {
  const auto ok = frame('R', std::string(4, '\0'));
  const auto login = ok + frame('S', std::string("server_version\00015\0", 18)) + frame('K', "12345678") + kReady;
  const auto prepared = frame('1', "") + frame('1', "") + kReady;
  for (std::size_t cut = 0; cut < login.size(); ++cut) {
    const auto conversation = make_postgres();
    std::string out;
    ASSERT_TRUE(conversation->open(out));
    Feed feed(*conversation);
    ASSERT_EQ(feed(login.substr(0, cut)), Kind::kMore) << cut;
    ASSERT_EQ(feed(login.substr(cut)), Kind::kSend) << cut << conversation->failure();
    EXPECT_NE(feed.sent.find("INSERT INTO queue"), std::string::npos);
    EXPECT_NE(feed.sent.find("SKIP LOCKED"), std::string::npos);
    ASSERT_EQ(feed(prepared), Kind::kDone);
  }
}

TEST(Postgres, APasswordIsNotAnswered) {
  const auto conversation = make_postgres();
  std::string out;
  ASSERT_TRUE(conversation->open(out));
  EXPECT_EQ(Feed(*conversation)(frame('R', std::string("\0\0\0\5salt", 8))), Kind::kFailed);
}

// -- Ours, by HTTP --------------------------------------------------------------------------------------------------

std::string http(const std::string& body, const std::string& status = "200 OK") {
  return "HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}
std::string result(const std::string& text) { return R"({"jsonrpc":"2.0","result":)" + text + R"(,"id":1})"; }

const std::string kStored = result(R"({"message_id":1,"priority":"Normal","persisted":true,"duplicate":false})");
const std::string kQueued = R"({"message":{"Gossip":{"topic":"bench","data":"0x00"}},"message_id":1})";

TEST(Http, AnAnswerIsWholeAtItsLastByte) {
  const Make one = [] { return make_http(1); };
  const Make three = [] { return make_http(3); };
  expect_answer(one, Work::kPut, http(kStored));
  expect_answer(one, Work::kTake, http(result(kQueued)));
  expect_answer(three, Work::kPut, http(result(R"({"message_ids":[1,2,3]})")));
  expect_answer(three, Work::kTake, http(result("[" + repeated(kQueued, 3, ",") + "]")));
}

TEST(Http, WhatIsNoDurableMessageIsAFailure) {
  const Make one = [] { return make_http(1); };
  const Make three = [] { return make_http(3); };
  const auto in_memory = result(R"({"message_id":1,"priority":"Normal","persisted":false,"duplicate":false})");
  expect_failure(one, Work::kPut, http(in_memory), "persisted\":false");
  expect_failure(one, Work::kPut, http(R"({"jsonrpc":"2.0","error":{"code":-32001}})"), "-32001");
  expect_failure(one, Work::kPut, http("no", "503 Service Unavailable"), "503");
  expect_failure(one, Work::kPut, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked");
  expect_failure(one, Work::kTake, http(result("null")), "null");
  expect_failure(three, Work::kTake, http(result("[" + kQueued + "," + kQueued + "]")), "message_id");
  expect_failure(three, Work::kPut, http(result(R"({"message_ids":[1,2]})")), "[1,2]");
}

// -- Ours, by the binary port ---------------------------------------------------------------------------------------

namespace codec = rpc::binary;

std::string text_of(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// A whole answer; `put` appends its body.
std::string answer(std::uint64_t id, codec::Kind kind, const std::function<void(Bytes&)>& put) {
  Bytes body, frame;
  put(body);
  codec::put_frame(frame, codec::Header{.id = id, .method = 1, .kind = kind}, body);
  return text_of(frame);
}
std::string stored(bool persisted) {
  queue::Submitted submitted;
  submitted.persisted = persisted;
  return answer(1, codec::Kind::kResult, [&](Bytes& out) { codec::put_body(out, submitted); });
}
queue::QueuedMessage queued() {
  queue::QueuedMessage message;
  message.body = queue::Body(queue::encode(queue::Gossip{"bench", Bytes(kMessageBytes)}).value());
  return message;
}
std::string popped() {
  return answer(1, codec::Kind::kResult, [](Bytes& out) { codec::put_body(out, std::optional(queued())); });
}
std::string popped(std::size_t count) {
  std::vector<queue::QueuedMessage> all(count);
  for (auto& one : all) one = queued();
  return answer(1, codec::Kind::kResult, [&](Bytes& out) { codec::put_body(out, all); });
}
std::string ids(std::size_t count) {
  const std::vector<queue::MessageId> all(count, queue::MessageId{7});
  return answer(1, codec::Kind::kResult, [&](Bytes& out) { codec::put_body(out, all); });
}

TEST(Binary, AnAnswerIsWholeAtItsLastByte) {
  const Make one = [] { return make_binary(1); };
  const Make three = [] { return make_binary(3); };
  expect_answer(one, Work::kPut, stored(true));
  expect_answer(one, Work::kTake, popped());
  expect_answer(three, Work::kPut, ids(3));
  expect_answer(three, Work::kTake, popped(3));
}

TEST(Binary, WhatIsNoDurableMessageIsAFailure) {
  const Make one = [] { return make_binary(1); };
  const Make three = [] { return make_binary(3); };
  const auto nothing = answer(1, codec::Kind::kResult, [](Bytes&) {});
  const auto error = answer(1, codec::Kind::kError, [](Bytes& out) {
    codec::put_body(out, codec::RemoteError{-32001, "the queue is full", R"({"reason":"QueueFull"})"});
  });
  expect_failure(one, Work::kPut, stored(false), "none that is durable");
  expect_failure(one, Work::kPut, error, "the queue is full");
  expect_failure(one, Work::kTake, nothing, "no message");
  expect_failure(three, Work::kPut, ids(2), "no message");
  expect_failure(three, Work::kTake, popped(2), "no message");
}

TEST(Binary, ThePrefaceIsAnsweredFirst) {
  Bytes preface;
  codec::put_preface(preface);
  for (std::size_t cut = 0; cut < preface.size(); ++cut) {
    const auto conversation = make_binary(1);
    std::string out;
    ASSERT_TRUE(conversation->open(out));
    EXPECT_EQ(out, text_of(preface));
    Feed feed(*conversation);
    ASSERT_EQ(feed(text_of(preface).substr(0, cut)), Kind::kMore);
    ASSERT_EQ(feed(text_of(preface).substr(cut)), Kind::kDone);
  }
  const auto conversation = make_binary(1);
  std::string out;
  ASSERT_TRUE(conversation->open(out));
  EXPECT_EQ(Feed(*conversation)("HTTP/1.1 400 Bad Request"), Kind::kFailed);
}

// -- All ------------------------------------------------------------------------------------------------------------

TEST(Conversations, AnUnknownNameOrBatchHasNone) {
  EXPECT_NE(make_conversation("redis", 16), nullptr);
  EXPECT_NE(make_conversation("http", 16), nullptr);
  EXPECT_NE(make_conversation("binary", 16), nullptr);
  EXPECT_EQ(make_conversation("redis", 0), nullptr);
  EXPECT_EQ(make_conversation("redis", kBatchMax + 1), nullptr);
  EXPECT_EQ(make_conversation("beanstalkd", 16), nullptr);
  EXPECT_EQ(make_conversation("postgres", 16), nullptr);
  EXPECT_EQ(make_conversation("rabbit", 1), nullptr);
}

}  // namespace
}  // namespace qh::bench
