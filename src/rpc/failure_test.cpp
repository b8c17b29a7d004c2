#include "rpc/failure.h"

#include <cerrno>
#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <boost/json/value.hpp>

#include "queue/json_text.h"

namespace qh::rpc {
namespace {

struct Expected {
  Errc errc;
  int code;
  const char* reason;
  std::set<std::string> data;  ///< beside `reason`
};

const Expected kExpected[] = {
    {Errc::kInvalid, -32602, "InvalidParams", {"field", "expected"}},
    {Errc::kTooLarge, -32005, "TooLarge", {"limit", "size"}},
    {Errc::kQueueFull, -32001, "QueueFull", {"bound", "retry_after_ms"}},
    {Errc::kRateLimited, -32002, "RateLimited", {"bound", "retry_after_ms"}},
    {Errc::kStorageFull, -32003, "StorageFull", {}},
    {Errc::kStorageFailed, -32004, "StorageFailed", {"file", "system_error"}},
    {Errc::kCorrupt, -32603, "InternalError", {}},
    {Errc::kNewerVersion, -32603, "InternalError", {}},
    {Errc::kNotFound, -32006, "NotFound", {}},
    {Errc::kExists, -32603, "InternalError", {}},
    {Errc::kLeaseLost, -32011, "Busy", {}},
    {Errc::kTimeout, -32008, "Timeout", {"outcome"}},
    {Errc::kShuttingDown, -32009, "ShuttingDown", {}},
    {Errc::kBusy, -32011, "Busy", {}},
    {Errc::kNotPermitted, -32010, "Forbidden", {"role"}},
    {Errc::kIo, -32603, "InternalError", {}},
};

RC_GTEST_PROP(Failure, EveryErrorHasItsCodeAndItsData, (std::uint64_t size)) {
  const auto context = *rc::gen::container<std::string>(rc::gen::inRange<char>(0, 127));
  for (const auto& expected : kExpected) {
    Error error(expected.errc, context, EIO);
    error.subject = "s";
    error.size = error.limit = size;
    error.retry_after_ms = 7;
    const auto reply = queue::parse_json(write_failure(failure_of(error), "1"));
    RC_ASSERT(reply.has_value());
    const auto& object = reply->at("error").get_object();
    RC_ASSERT(object.at("code").as_int64() == expected.code);
    std::set<std::string> members;
    for (const auto& member : object.at("data").get_object()) members.emplace(member.key());
    RC_ASSERT(members.erase("reason") == 1U);
    RC_ASSERT(members == expected.data);
    RC_ASSERT(object.at("data").at("reason").as_string() == expected.reason);
    RC_ASSERT(info(static_cast<Code>(expected.code)).reason == expected.reason);
  }
}

}  // namespace
}  // namespace qh::rpc
