#include "node/limits.h"

#include <cerrno>
#include <system_error>

#include <boost/system/system_error.hpp>

namespace qh::node {
namespace {

/// 0: it names none.
int errno_of(const std::exception& thrown) {
  if (const auto* ours = dynamic_cast<const std::system_error*>(&thrown)) return ours->code().value();
  if (const auto* boosts = dynamic_cast<const boost::system::system_error*>(&thrown)) return boosts->code().value();
  return 0;
}

}  // namespace

std::string_view remedy_for_limit(int os_errno) {
  switch (os_errno) {
    case EMFILE:
    case ENFILE:
      return kMoreDescriptors;
    case EAGAIN:  // of pthread_create()
      return kMoreThreads;
    default:
      return {};
  }
}

Error error_of(const std::exception& thrown, std::string step) {
  const int os_errno = errno_of(thrown);
  if (os_errno == 0) return Error(Errc::kIo, step + ": " + thrown.what());
  Error error(Errc::kIo, std::move(step), os_errno);
  const auto remedy = remedy_for_limit(os_errno);
  if (remedy.empty()) return error;
  return Error(Errc::kIo, error.to_string() + "; " + std::string(remedy));
}

}  // namespace qh::node
