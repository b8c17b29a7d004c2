#include "crypto/random.h"

#include <algorithm>
#include <climits>
#include <utility>

#include <openssl/rand.h>

#include "base/invariant.h"

namespace qh::crypto {

void fill_random(std::span<std::byte> out) {
  while (!out.empty()) {
    const auto part = out.first(std::min<std::size_t>(out.size(), INT_MAX));
    const int done = RAND_bytes(reinterpret_cast<unsigned char*>(part.data()), static_cast<int>(part.size()));
    INVARIANT(done == 1, "the system has no randomness");
    out = out.subspan(part.size());
  }
}

std::uint64_t SystemRng::next() {
  if (left_ == 0) {
    fill_random(std::as_writable_bytes(std::span(pool_)));
    left_ = pool_.size();
  }
  // What was given is forgotten: a later look at this memory does not show it.
  return std::exchange(pool_[--left_], 0);
}

}  // namespace qh::crypto
