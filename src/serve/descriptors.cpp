#include "serve/descriptors.h"

#include <sys/resource.h>

#include <algorithm>

#include "node/process_figures.h"

namespace qh::serve {
namespace {

// Of the process: standard streams, loops, listeners, and connections that are only told that there is no place.
constexpr std::size_t kOfTheNode = 64;
// Of a validator: its loop, its listeners, its disk; its segments, two each, with those that come and go under load.
constexpr std::size_t kOfAValidator = 32;
constexpr std::size_t kOtherPorts = 3;  // web, metrics, and the metrics port's WebSockets
constexpr std::size_t kLeast = 4;       // connections of a port

std::size_t kept_for_logs(PortCounts ports) { return kOfTheNode + ports.validators * kOfAValidator; }

std::string validators_text(std::size_t count) {
  return count == 1 ? "one validator" : std::to_string(count) + " validators";
}

}  // namespace

std::size_t descriptors_needed(PortCounts ports) {
  return kept_for_logs(ports) + kLeast * (ports.validators * ports.of_each + kOtherPorts);
}

Result<void> has_descriptors_for(std::size_t descriptors, PortCounts ports) {
  const auto needed = descriptors_needed(ports);
  if (descriptors >= needed) return {};
  return fail(Errc::kIo, "a node with " + validators_text(ports.validators) + " needs " + std::to_string(needed) +
                             " open files, and may have " + std::to_string(descriptors) + "; " + kMoreDescriptors);
}

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const auto given = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : given;
}

ConnectionBounds connections_that_fit(std::size_t descriptors, PortCounts ports, ConnectionBounds wanted) {
  const auto kept = kept_for_logs(ports);
  const auto free = descriptors > kept ? descriptors - kept : 0;
  const auto of_validators = ports.validators * ports.of_each;
  const auto all = of_validators * wanted.validator + kOtherPorts * wanted.other;
  if (free >= all) return wanted;
  // As a double: `free` may be all that fits into a size_t.
  const auto share = static_cast<double>(free) / static_cast<double>(all);
  const auto part = [&](std::size_t of) { return static_cast<std::size_t>(share * static_cast<double>(of)); };
  const auto other = std::max(kLeast, part(wanted.other));
  // What the least of the others is over their part, they have from here.
  const auto left = free > kOtherPorts * other ? free - kOtherPorts * other : 0;
  return {std::max(kLeast, std::min(part(wanted.validator), left / of_validators)), other};
}

Result<void> has_room_for_a_validator(PortCounts ports) {
  const auto process = node::process_figures();
  ++ports.validators;
  if (auto room = has_descriptors_for(process.max_fds, ports); !room)
    return fail(Errc::kBusy, std::move(room.error().context));
  if (!process.open_fds || *process.open_fds + kOfAValidator <= process.max_fds) return {};
  return fail(Errc::kBusy, "one more validator needs " + std::to_string(kOfAValidator) + " files, and " +
                               std::to_string(*process.open_fds) + " of " + std::to_string(process.max_fds) +
                               " are open; " + kMoreDescriptors);
}

}  // namespace qh::serve
