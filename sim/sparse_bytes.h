// sim/sparse_bytes.h - the bytes of a file in memory, where zeros cost nothing.
//
// A page exists once something other than zero was written into it, so a zero-filled segment of 64 MiB
// is a table of pointers.
//
// Units    bytes.
// Threads  a value.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/bytes.h"

namespace qh {

class SparseBytes {
 public:
  std::uint64_t size() const { return size_; }
  /// Cuts, or grows with zeros.
  void resize(std::uint64_t bytes);
  /// Grows as needed.
  void write(std::uint64_t offset, ByteView bytes);
  void zero(std::uint64_t from, std::uint64_t to);
  /// What lies beyond the end reads as zeros.
  void read(std::uint64_t offset, std::span<std::byte> into) const;
  Bytes all() const;

  SparseBytes() = default;
  SparseBytes(const SparseBytes& other) { *this = other; }
  SparseBytes(SparseBytes&&) noexcept = default;
  SparseBytes& operator=(const SparseBytes& other);
  SparseBytes& operator=(SparseBytes&&) noexcept = default;
  ~SparseBytes() = default;

 private:
  static constexpr std::size_t kPageBytes = 4096;
  using Page = std::array<std::byte, kPageBytes>;

  /// Calls `on(page, offset in it, bytes, bytes before this)` for each page of a range.
  template <class On>
  static void each_page(std::uint64_t offset, std::uint64_t bytes, On on);

  std::vector<std::unique_ptr<Page>> pages_;
  std::uint64_t size_ = 0;
};

}  // namespace qh
