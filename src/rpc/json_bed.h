// rpc/json_bed.h - a TestBed whose answers are JSON values. Private to rpc/'s tests.
#pragma once

#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "queue/json_text.h"
#include "rpc/test_bed.h"

namespace qh::rpc {

class JsonBed : public TestBed {
 public:
  using TestBed::TestBed;

  boost::json::value json(std::string_view body) {
    const auto reply = text(body);
    EXPECT_TRUE(reply) << "no reply yet to " << body;
    return reply ? queue::parse_json(*reply).value() : nullptr;
  }
  boost::json::value call(std::string_view method, std::string_view params) {
    return json(R"({"jsonrpc":"2.0","method":")" + std::string(method) + R"(","params":)" + std::string(params) +
                R"(,"id":1})");
  }
  boost::json::value result(std::string_view method, std::string_view params = "[]") {
    auto reply = call(method, params);
    const auto* result = reply.get_object().if_contains("result");
    EXPECT_NE(result, nullptr) << method << params << queue::write_json(reply);
    return result != nullptr ? *result : nullptr;
  }
  /// The error's object.
  boost::json::value error(std::string_view method, std::string_view params = "[]") {
    auto reply = call(method, params);
    const auto* error = reply.get_object().if_contains("error");
    EXPECT_NE(error, nullptr) << method << params << queue::write_json(reply);
    return error != nullptr
               ? *error
               : boost::json::value(boost::json::object{{"code", 0}, {"message", ""}, {"data", boost::json::object{}}});
  }
};

}  // namespace qh::rpc
