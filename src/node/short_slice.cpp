#include "node/short_slice.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace qh::node {
namespace {

/// struct sched_attr of sched_setattr(2), which Debian 12's headers do not have for programs.
struct Attributes {
  std::uint32_t size = sizeof(Attributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime_ns = 0;
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};
static_assert(sizeof(Attributes) == 48, "SCHED_ATTR_SIZE_VER0");

constexpr std::uint64_t kSliceNs = 100'000;

}  // namespace

void ask_for_short_slices() {
  Attributes attributes;
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.policy != 0) return;  // somebody has chosen another policy for us
  attributes.size = sizeof attributes;
  attributes.flags = 0;
  attributes.runtime_ns = kSliceNs;
  (void)::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace qh::node
