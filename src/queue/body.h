// queue/body.h - the bytes of one message, owned once.
//
// 16 bytes and one allocation: a queue holds a million of them.
// Threads  values.
#pragma once

#include <cstring>
#include <memory>
#include <utility>

#include "base/bytes.h"

namespace qh::queue {

class Body {
 public:
  Body() = default;
  explicit Body(ByteView bytes) : bytes_(static_cast<std::uint32_t>(bytes.size())) {
    if (bytes.empty()) return;
    data_.reset(new std::byte[bytes.size()]);
    std::memcpy(data_.get(), bytes.data(), bytes.size());
  }
  Body(Body&& other) noexcept : data_(std::move(other.data_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Body& operator=(Body&& other) noexcept {
    data_ = std::move(other.data_);
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }

  ByteView view() const { return {data_.get(), bytes_}; }
  std::uint32_t size() const { return bytes_; }

 private:
  std::unique_ptr<std::byte[]> data_;
  std::uint32_t bytes_ = 0;
};

}  // namespace qh::queue
