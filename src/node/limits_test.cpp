#include "node/limits.h"

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include <gtest/gtest.h>
#include <boost/system/system_error.hpp>

namespace qh::node {
namespace {

TEST(Limits, WhatALibraryThrewSaysWhichLimitToRaise) {
  const boost::system::system_error files(EMFILE, boost::system::system_category(), "eventfd");
  EXPECT_EQ(error_of(files, "start bob").to_string(),
            std::string("start bob: Too many open files; ") + kMoreDescriptors);
  const std::system_error threads(EAGAIN, std::system_category(), "thread");
  EXPECT_EQ(error_of(threads, "start bob").to_string(),
            std::string("start bob: Resource temporarily unavailable; ") + kMoreThreads);
  EXPECT_EQ(error_of(std::runtime_error("odd"), "start bob").to_string(), "start bob: odd");
  EXPECT_EQ(remedy_for_limit(EACCES), "");
}

}  // namespace
}  // namespace qh::node
