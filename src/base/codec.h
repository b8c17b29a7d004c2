// base/codec.h - little-endian fields in byte strings.
//
// Errors   ByteReader never reads past its end: after the first short read `ok()` is false and
//          every further read gives zeros, so a decoder checks once, at its end.
// Threads  values.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "base/bytes.h"

namespace qh {

static_assert(std::endian::native == std::endian::little, "formats are little-endian; port the codec first");

/// Writes an integer at `at`; the caller has the room.
template <std::integral T>
void store_le(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}
template <std::integral T>
T load_le(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// Appends fields to a growing buffer (anything with `insert` at its end).
class ByteWriter {
 public:
  explicit ByteWriter(Bytes& out) : out_(out) {}

  /// Several cost as much as one.
  template <std::integral... T>
  void put(T... values) {
    std::array<std::byte, (sizeof(T) + ...)> raw;
    auto* at = raw.data();
    ((store_le(at, values), at += sizeof values), ...);
    put_raw(raw);
  }
  void put_f64(double value) { put(std::bit_cast<std::uint64_t>(value)); }
  void put_raw(ByteView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  /// Length as `L`, then the bytes; the caller has checked that the length fits.
  template <std::unsigned_integral L>
  void put_sized(ByteView bytes) {
    put(static_cast<L>(bytes.size()));
    put_raw(bytes);
  }

 private:
  Bytes& out_;
};

/// Reads fields from a view; views it returns point into the input.
class ByteReader {
 public:
  explicit ByteReader(ByteView in) : in_(in) {}

  template <std::integral T>
  T get() {
    const ByteView bytes = get_raw(sizeof(T));
    return ok_ ? load_le<T>(bytes.data()) : T{};
  }
  double get_f64() { return std::bit_cast<double>(get<std::uint64_t>()); }
  ByteView get_raw(std::size_t count) {
    if (!ok_ || count > in_.size() - at_) {
      ok_ = false;
      return {};
    }
    const auto view = in_.subspan(at_, count);
    at_ += count;
    return view;
  }
  template <std::unsigned_integral L>
  ByteView get_sized() {
    return get_raw(get<L>());
  }
  ByteView rest() { return get_raw(in_.size() - at_); }

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && at_ == in_.size(); }
  std::size_t offset() const { return at_; }

 private:
  ByteView in_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace qh
