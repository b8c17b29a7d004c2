// base/bytes.h - byte strings, and the text forms people give them.
//
// Errors   the parsers answer kInvalid with the offset of the first bad character.
// Threads  values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace qh {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

/// Lower-case hex without a prefix.
std::string to_hex(ByteView bytes);
/// Accepts an even number of hex digits of either case, no prefix. The error says what came: "'g' as hex digit 2".
Result<Bytes> from_hex(std::string_view text);
/// RFC 4648 section 4, with padding; refuses anything else, stray bits included.
Result<Bytes> from_base64(std::string_view text);

inline ByteView as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
inline std::string_view as_text(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline Bytes to_bytes(std::string_view text) {
  const auto view = as_bytes(text);
  return {view.begin(), view.end()};
}

/// Memory for direct I/O: address and size are multiples of `kAlign`. Move-only.
class AlignedBuffer {
 public:
  static constexpr std::size_t kAlign = 4096;

  AlignedBuffer() = default;
  /// Zeroed. `bytes` is rounded up to a multiple of kAlign.
  explicit AlignedBuffer(std::size_t bytes);

  std::span<std::byte> span() { return {data_.get(), bytes_}; }
  ByteView view() const { return {data_.get(), bytes_}; }
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::size_t size() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t bytes_ = 0;
};

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace qh
