// crypto/random.h - random numbers that nobody can guess.
//
// Errors   none: a process without randomness must not go on, so it ends.
// Threads  fill_random may be called from any thread; a SystemRng has one owner.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/rng.h"

namespace qh::crypto {

/// From OpenSSL's generator, which the kernel seeds.
void fill_random(std::span<std::byte> out);

/// The real qh::Rng: drawn in blocks, since one call for eight bytes costs as much as for 512.
class SystemRng final : public Rng {
 public:
  std::uint64_t next() override;

 private:
  std::array<std::uint64_t, 64> pool_{};
  std::size_t left_ = 0;
};

}  // namespace qh::crypto
