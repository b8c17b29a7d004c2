#include "rpc/binary_body.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "queue/arbitrary_message.h"
#include "rpc/arguments.h"

namespace qh::rpc::binary {
namespace {

using queue::LeaseId;
using queue::MessageId;

/// The one frame that `out` is.
Frame only_frame(const Bytes& out, From from = From::kClient) {
  const auto frame = parse_frame(out, from);
  EXPECT_EQ(frame.state, Frame::State::kFrame) << frame.why;
  EXPECT_EQ(frame.wire_bytes(), out.size());
  return frame;
}

/// What the server reads of a request.
Arguments arguments_of(const Bytes& out) {
  const auto frame = only_frame(out);
  Arguments arguments;
  const auto failure = bind_typed(*find_method(frame.header.method), frame.body, arguments);
  EXPECT_FALSE(failure) << failure->message;
  return arguments;
}

std::optional<queue::Durability> durability_of(const Arguments& arguments) {
  if (!arguments.has("durability")) return std::nullopt;
  return arguments.text("durability") == "sync" ? queue::Durability::kSync : queue::Durability::kAsync;
}
std::optional<queue::KindMask> kinds_of(const Arguments& arguments) {
  return arguments.has("kinds") ? std::optional(arguments.kinds()) : std::nullopt;
}

/// Not empty.
rc::Gen<std::string> short_text() {
  return rc::gen::map(queue::arbitrary_text(), [](std::string text) {
    text.resize(std::min<std::size_t>(text.size(), 100));
    while (!queue::is_utf8(text)) text.pop_back();
    return text.empty() ? "x" : text;
  });
}
rc::Gen<std::optional<std::uint64_t>> some_ms() {
  return queue::sometimes<std::uint64_t>(rc::gen::inRange<std::uint64_t>(1, 60'000));
}
rc::Gen<std::optional<queue::KindMask>> some_kinds() {
  return queue::sometimes<queue::KindMask>(
      rc::gen::map(rc::gen::inRange(1, 64), [](int bits) { return queue::KindMask(static_cast<std::uint8_t>(bits)); }));
}
std::vector<LeaseId> some_leases() {
  std::vector<LeaseId> leases;
  for (const auto id : *rc::gen::container<std::vector<std::uint64_t>>(queue::arbitrary_integer()))
    leases.emplace_back(std::max<std::uint64_t>(id, 1));
  return leases;
}

/// Owns what a Submit points to.
struct Submission {
  Bytes message = queue::encode(*queue::arbitrary_message()).value();
  std::string key = *short_text();
  Submit submit{.message = message};
  Submission() {
    if (*rc::gen::arbitrary<bool>()) submit.idempotency_key = key;
    if (*rc::gen::arbitrary<bool>())
      submit.durability = *rc::gen::element(queue::Durability::kSync, queue::Durability::kAsync);
    submit.not_before_ms = *some_ms();
    submit.expires_at_ms = *some_ms();
    submit.timeout_ms = *some_ms();
    submit.wait_queued = *rc::gen::arbitrary<bool>();
  }
};

void expect_same(const Submit& sent, const Arguments& read) {
  queue::Submission submission;
  RC_ASSERT(read.message("message", submission).has_value());
  RC_ASSERT(std::ranges::equal(submission.bytes(), sent.message));
  RC_ASSERT(durability_of(read) == sent.durability);
  RC_ASSERT(read.has("idempotency_key") == sent.idempotency_key.has_value());
  RC_ASSERT(read.text("idempotency_key") == sent.idempotency_key.value_or(""));
  RC_ASSERT(read.integer("not_before_ms") == sent.not_before_ms);
  RC_ASSERT(read.integer("expires_at_ms") == sent.expires_at_ms);
  RC_ASSERT(read.integer("timeout_ms") == sent.timeout_ms);
  RC_ASSERT(read.text("wait") == (sent.wait_queued ? "queued" : ""));
}

RC_GTEST_PROP(BinaryRequests, ASubmitIsReadAsItWasWritten, ()) {
  const Submission one;
  Bytes out;
  put_request(out, 7, one.submit);
  expect_same(one.submit, arguments_of(out));
}

RC_GTEST_PROP(BinaryRequests, ABatchIsReadAsItWasWritten, ()) {
  const std::vector<Submission> all(*rc::gen::inRange<std::size_t>(1, 5));
  std::vector<Submit> submits;
  for (const auto& one : all) {
    submits.push_back(one.submit);
    submits.back().message = one.message;  // its own bytes
    if (one.submit.idempotency_key) submits.back().idempotency_key = one.key;
  }
  Bytes out;
  put_request(out, 7, SubmitBatch{.messages = submits, .durability = queue::Durability::kAsync});
  const auto read = arguments_of(out);
  RC_ASSERT(read.text("durability") == "async");
  std::size_t at = 0;
  const auto failure = read.each_submission("messages", [&](const Arguments& one) -> std::optional<Failure> {
    expect_same(submits.at(at++), one);
    return std::nullopt;
  });
  RC_ASSERT(!failure && at == submits.size());
}

RC_GTEST_PROP(BinaryRequests, WhatHandsOutIsReadAsItWasWritten, ()) {
  const Pop pop{.kinds = *some_kinds(), .wait_ms = *some_ms()};
  const PopBatch batch{.max = *rc::gen::inRange<std::uint64_t>(1, 1001), .kinds = *some_kinds(), .wait_ms = *some_ms()};
  const Lease lease{.max = *queue::sometimes<std::uint64_t>(rc::gen::inRange<std::uint64_t>(1, 1001)),
                    .duration_ms = *some_ms(),
                    .kinds = *some_kinds(),
                    .wait_ms = *some_ms()};
  Bytes out;
  put_request(out, 1, pop);
  const auto popped = arguments_of(out);
  RC_ASSERT(kinds_of(popped) == pop.kinds && popped.integer("wait_ms") == pop.wait_ms);
  out.clear();
  put_request(out, 3, batch);
  const auto several = arguments_of(out);
  RC_ASSERT(several.integer("max") == batch.max && several.integer("wait_ms") == batch.wait_ms);
  RC_ASSERT(kinds_of(several) == batch.kinds);
  out.clear();
  put_request(out, 2, lease);
  const auto leased = arguments_of(out);
  RC_ASSERT(leased.integer("max") == lease.max && leased.integer("duration_ms") == lease.duration_ms);
  RC_ASSERT(kinds_of(leased) == lease.kinds && leased.integer("wait_ms") == lease.wait_ms);
}

RC_GTEST_PROP(BinaryRequests, WhatEndsLeasesIsReadAsItWasWritten, ()) {
  const auto leases = some_leases();
  const auto text = *short_text();
  std::vector<std::uint64_t> ids;
  ids.reserve(leases.size());
  for (const auto lease : leases) ids.push_back(lease.value());
  const auto delay = *some_ms();
  Bytes ack, nack, extend;
  put_request(ack, 1, Ack{.leases = leases});
  put_request(nack, 2, Nack{.leases = leases, .delay_ms = delay, .error = text});
  put_request(extend, 3, Extend{.leases = leases, .duration_ms = 5'000});
  RC_ASSERT(arguments_of(ack).ids("leases") == ids);
  RC_ASSERT(arguments_of(nack).ids("leases") == ids && arguments_of(nack).integer("delay_ms") == delay);
  RC_ASSERT(arguments_of(nack).text("error") == text);
  RC_ASSERT(arguments_of(extend).ids("leases") == ids && arguments_of(extend).integer("duration_ms") == 5'000U);
}

queue::QueuedMessage some_queued() {
  queue::QueuedMessage message;
  message.id = MessageId(*queue::arbitrary_integer());
  message.body = queue::Body(queue::encode(*queue::arbitrary_message()).value());
  message.created_at = WallTime::from_ms(*rc::gen::inRange<std::int64_t>(0, 4'000'000'000'000));
  message.submitted_by = *short_text();
  message.persisted = *rc::gen::arbitrary<bool>();
  message.broadcast = *rc::gen::arbitrary<bool>();
  message.deliveries = *rc::gen::arbitrary<std::uint32_t>();
  return message;
}

/// What is written, read and written again is the same bytes; one byte less or more is nothing.
template <class Value, class Read>
void round_trip(const Value& value, Read read) {
  Bytes out, again;
  put_body(out, value);
  const auto back = read(out);
  RC_ASSERT(back.has_value());
  put_body(again, *back);
  RC_ASSERT(out == again);
  auto longer = out;
  longer.push_back(std::byte{0});
  RC_ASSERT(!read(longer).has_value());
  if (!out.empty()) RC_ASSERT(!read(ByteView(out).first(out.size() - 1)).has_value() || out.size() == 1);
}

RC_GTEST_PROP(BinaryAnswers, AreReadAsTheyWereWritten, ()) {
  const auto kind = static_cast<queue::Kind>(*rc::gen::inRange(0, static_cast<int>(queue::kKindCount)));
  round_trip(queue::Submitted{MessageId(*queue::arbitrary_integer()), kind, *rc::gen::arbitrary<bool>(),
                              *rc::gen::arbitrary<bool>()},
             read_submitted);
  std::vector<MessageId> ids;
  for (const auto id : some_leases()) ids.emplace_back(id.value());
  round_trip(ids, read_message_ids);
  round_trip(std::optional(some_queued()), read_taken);
  std::vector<queue::Leased> leased(*rc::gen::inRange<std::size_t>(0, 4));
  for (auto& one : leased) {
    one.lease = LeaseId(*queue::arbitrary_integer());
    one.deadline = WallTime::from_ms(*rc::gen::inRange<std::int64_t>(0, 4'000'000'000'000));
    one.message = some_queued();
  }
  round_trip(leased, read_leased);
  round_trip(queue::LeaseOutcome{*queue::arbitrary_integer(), some_leases()}, read_outcome);
  const auto text = *short_text();
  round_trip(RemoteError{-32'001, text, R"({"reason":"QueueFull"})"}, read_error);
}

TEST(BinaryAnswers, NoMessageIsAnEmptyBody) {
  Bytes out;
  put_body(out, std::optional<queue::QueuedMessage>());
  EXPECT_TRUE(out.empty());
  EXPECT_FALSE(read_taken(out).value().has_value());
}

RC_GTEST_PROP(BinaryFrames, AreReadAsTheyWereWrittenAndNotBeforeTheyAreWhole, ()) {
  const auto body = *queue::arbitrary_bytes();
  Header header{.body_bytes = static_cast<std::uint32_t>(body.size()),
                .id = *rc::gen::inRange<std::uint64_t>(1, UINT64_MAX),
                .method = *rc::gen::arbitrary<std::uint16_t>(),
                .kind = *rc::gen::element(Kind::kRequest, Kind::kResult),
                .flags = *rc::gen::element<std::uint8_t>(0, kFlagJson)};
  const auto from = header.kind == Kind::kRequest ? From::kClient : From::kServer;
  Bytes out;
  put_frame(out, header, body);
  const auto cut = *rc::gen::inRange<std::size_t>(0, out.size());
  RC_ASSERT(parse_frame(ByteView(out).first(cut), from).state == Frame::State::kNeedsMore);
  const auto frame = only_frame(out, from);
  RC_ASSERT(frame.header == header);
  RC_ASSERT(std::ranges::equal(frame.body, body));
}

TEST(BinaryFrames, WhatCannotBeOneIsBroken) {
  const Header good{.id = 1, .method = 1};
  const auto state = [](Header header, ByteView body = {}, From from = From::kClient) {
    Bytes out;
    put_frame(out, header, body);
    return parse_frame(out, from).state;
  };
  EXPECT_EQ(state(good), Frame::State::kFrame);
  const auto with = [&](auto change) {
    auto header = good;
    change(header);
    return header;
  };
  using enum Frame::State;
  EXPECT_EQ(state(with([](Header& h) { h.id = 0; })), kBroken);
  EXPECT_EQ(state(with([](Header& h) { h.kind = Kind::kResult; })), kBroken);
  EXPECT_EQ(state(with([](Header& h) { h.kind = static_cast<Kind>(4); })), kBroken);
  EXPECT_EQ(state(with([](Header& h) { h.flags = 2; })), kBroken);
  EXPECT_EQ(state(good, {}, From::kServer), kBroken);
  auto cancel = with([](Header& h) {
    h.kind = Kind::kCancel;
    h.method = 0;
  });
  EXPECT_EQ(state(cancel), kFrame);
  EXPECT_EQ(state(cancel, as_bytes("x")), kBroken);
  cancel.flags = kFlagJson;
  EXPECT_EQ(state(cancel), kBroken);
  cancel.flags = 0;
  cancel.method = 3;
  EXPECT_EQ(state(cancel), kBroken);
  const auto error = with([](Header& h) { h.kind = Kind::kError; });
  EXPECT_EQ(state(error, {}, From::kServer), kFrame);
  // Its length alone is too much: it is not waited for.
  Bytes huge;
  put_frame(huge, good, {});
  store_le(huge.data(), kRequestBodyBytesMax + 1);
  EXPECT_EQ(parse_frame(huge, From::kClient).state, kBroken);
  store_le(huge.data(), kRequestBodyBytesMax);
  EXPECT_EQ(parse_frame(huge, From::kClient).state, kNeedsMore);
}

TEST(BinaryFrames, APrefaceIsForeignFromItsFirstWrongByteOn) {
  Bytes out;
  put_preface(out, 0x0201);
  for (std::size_t cut = 0; cut < out.size(); ++cut)
    EXPECT_EQ(parse_preface(ByteView(out).first(cut)).state, Preface::State::kNeedsMore) << cut;
  EXPECT_EQ(parse_preface(out).state, Preface::State::kGood);
  EXPECT_EQ(parse_preface(out).version, 0x0201);
  EXPECT_EQ(parse_preface(as_bytes("P")).state, Preface::State::kForeign);
  EXPECT_EQ(parse_preface(as_bytes("QHRPD")).state, Preface::State::kForeign);
}

}  // namespace
}  // namespace qh::rpc::binary
