#include "serve/descriptors.h"

#include <sys/resource.h>

#include <algorithm>

#include "node/process_figures.h"

namespace qh::serve {
namespace {

// Of the process: standard streams, loops, listeners, and connections that are only told that there is no place.
constexpr std::size_t kOfTheNode = 64;
// Of a validator: its loop, its listeners, its segments.
constexpr std::size_t kOfAValidator = 32;
constexpr std::size_t kOtherPorts = 3;  // web, metrics, and the metrics port's WebSockets
constexpr std::size_t kLeast = 4;

}  // namespace

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const auto given = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : given;
}

ConnectionBounds connections_that_fit(std::size_t descriptors, PortCounts ports, ConnectionBounds wanted) {
  const auto kept = kOfTheNode + ports.validators * kOfAValidator;
  const auto free = descriptors > kept ? descriptors - kept : 0;
  const auto all = ports.validators * ports.of_each * wanted.validator + kOtherPorts * wanted.other;
  if (free >= all) return wanted;
  // As a double: `free` may be all that fits into a size_t.
  const auto share = static_cast<double>(free) / static_cast<double>(all);
  const auto part = [&](std::size_t of) {
    return std::max(kLeast, static_cast<std::size_t>(share * static_cast<double>(of)));
  };
  return {part(wanted.validator), part(wanted.other)};
}

Result<void> has_room_for_a_validator() {
  const auto process = node::process_figures();
  if (!process.open_fds || *process.open_fds + kOfAValidator <= process.max_fds) return {};
  return fail(Errc::kBusy, "one more validator needs " + std::to_string(kOfAValidator) + " files, and " +
                               std::to_string(*process.open_fds) + " of " + std::to_string(process.max_fds) +
                               " are open; " + kMoreDescriptors);
}

}  // namespace qh::serve
