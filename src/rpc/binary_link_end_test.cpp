// Where a stream ends because it cannot be understood.

#include <gtest/gtest.h>

#include "base/codec.h"
#include "queue/message.h"
#include "rpc/link_bed.h"

namespace qh::rpc {
namespace {

using binary::Kind;
using queue::Durability;

template <class Request>
Bytes framed(std::uint64_t id, const Request& request) {
  Bytes out;
  binary::put_request(out, id, request);
  return out;
}

/// A cancel with a method.
Bytes refused_frame(std::uint64_t id) {
  Bytes out;
  binary::put_frame(out, {.id = id, .method = 3, .kind = Kind::kCancel}, {});
  return out;
}

TEST(BinaryLink, ABrokenFrameGetsALastWordAndEndsTheStream) {
  LinkBed bed;
  Bytes broken = framed(3, binary::Pop{});
  broken[15] = std::byte{0x80};
  bed.send(broken);
  const auto answer = bed.answer();
  EXPECT_EQ(answer.header.id, 3U);
  EXPECT_EQ(answer.error().code, static_cast<int>(Code::kInvalidRequest));
  EXPECT_TRUE(bed.link->ended());
  bed.send(framed(4, binary::Pop{}));
  EXPECT_TRUE(bed.answers().empty());

  LinkBed other;
  Bytes huge = framed(3, binary::Pop{});
  store_le(huge.data(), binary::kRequestBodyBytesMax + 1);
  other.send(huge);
  EXPECT_EQ(other.answer().error().code, static_cast<int>(Code::kTooLarge));
  EXPECT_TRUE(other.link->ended());
}

TEST(BinaryLink, AWaitInFrontOfABrokenFrameTakesNothing) {
  LinkBed bed;
  bed.send(framed(1, binary::Pop{.wait_ms = 10'000}));
  bed.send(refused_frame(2));
  (void)bed.result("qssh_submitMessage", R"({"Gossip":{"topic":"t","data":"0x"}})");
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 1);
  const auto answers = bed.answers();
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[0].header.id, 1U);
  EXPECT_EQ(answers[0].error().code, static_cast<int>(Code::kTimeout));
  EXPECT_EQ(answers[1].header.id, 2U);
  EXPECT_EQ(answers[1].error().code, static_cast<int>(Code::kInvalidRequest));
}

TEST(BinaryLink, WhatIsUnderWayInFrontOfABrokenFrameIsAnsweredBeforeTheLastWord) {
  LinkBed bed;
  const auto message = queue::encode(queue::Gossip{"t", to_bytes("data")}).value();
  Bytes all;
  for (std::uint64_t id = 1; id <= 5; ++id)
    binary::put_request(all, id, binary::Submit{.message = message, .durability = Durability::kSync});
  const auto broken = refused_frame(6);
  all.insert(all.end(), broken.begin(), broken.end());
  const auto behind = framed(7, binary::Submit{.message = message});
  all.insert(all.end(), behind.begin(), behind.end());
  EXPECT_EQ(bed.link->take(all), all.size());
  EXPECT_TRUE(bed.link->ended());
  EXPECT_EQ(bed.link->open_calls(), 5U);
  EXPECT_TRUE(bed.link->out().empty());
  bed.settle();
  const auto answers = bed.answers();
  ASSERT_EQ(answers.size(), 6U);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].header.id, i + 1);
    EXPECT_EQ(answers[i].ok(), i < 5) << i;
  }
  EXPECT_EQ(bed.result("qssh_getQueueDepth"), 5) << "nothing behind it is carried out";
}

TEST(BinaryLink, WhatSpeaksSomethingElseIsToldSo) {
  TestBed bed;
  BinaryLink http(bed.dispatcher(), bed.caller, [] {});
  (void)http.take(as_bytes("POST / HTTP/1.1\r\n"));
  EXPECT_TRUE(http.ended());
  EXPECT_TRUE(as_text(http.out()).starts_with("HTTP/1.1 400 ")) << as_text(http.out());
  EXPECT_NE(as_text(http.out()).find("rpc-binary.md"), std::string::npos);

  BinaryLink newer(bed.dispatcher(), bed.caller, [] {});
  Bytes preface, ours;
  binary::put_preface(preface, binary::kVersion + 1);
  binary::put_preface(ours);
  (void)newer.take(preface);
  EXPECT_TRUE(newer.ended());
  EXPECT_EQ(newer.out(), ours);
}

}  // namespace
}  // namespace qh::rpc
