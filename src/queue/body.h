// queue/body.h - the bytes of one message, owned once.
//
// 16 bytes and one allocation, which may be a larger one that the body is only a part of.
// Threads  values.
#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include "base/bytes.h"

namespace qh::queue {

class Body {
 public:
  Body() = default;
  /// With a copy of them.
  explicit Body(ByteView bytes) : bytes_(static_cast<std::uint32_t>(bytes.size())) {
    if (bytes.empty()) return;
    block_ = static_cast<std::byte*>(::operator new(bytes.size()));
    std::memcpy(block_, bytes.data(), bytes.size());
  }
  /// Takes over `block`, which came from ::operator new; the body is `bytes` of it from `offset` on.
  Body(std::byte* block, std::uint32_t offset, std::uint32_t bytes) : block_(block), offset_(offset), bytes_(bytes) {}
  Body(Body&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)), offset_(other.offset_), bytes_(std::exchange(other.bytes_, 0)) {}
  Body& operator=(Body&& other) noexcept {
    if (this == &other) return *this;
    ::operator delete(block_);
    block_ = std::exchange(other.block_, nullptr);
    offset_ = other.offset_;
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }
  ~Body() { ::operator delete(block_); }

  ByteView view() const { return {block_ + offset_, bytes_}; }
  std::uint32_t size() const { return bytes_; }

 private:
  std::byte* block_ = nullptr;
  std::uint32_t offset_ = 0, bytes_ = 0;
};

}  // namespace qh::queue
