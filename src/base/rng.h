// base/rng.h - random numbers as an argument.
//
// The interface is here so that cores can be given a seeded one; crypto/random.h has the real one.
#pragma once

#include <cstdint>

namespace qh {

class Rng {
 public:
  virtual ~Rng() = default;
  /// 64 uniform bits.
  virtual std::uint64_t next() = 0;

  /// Uniform in [0, bound); bound > 0. The bias of the multiplication is below 2^-32 for the small
  /// bounds that it is used with (delays, choices), never for keys.
  std::uint64_t below(std::uint64_t bound) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }
  /// Uniform in [0, 1).
  double fraction() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
};

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): for simulations and tests, never for secrets.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

}  // namespace qh
