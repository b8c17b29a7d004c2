#include "base/bytes.h"

#include <array>
#include <cstdlib>
#include <new>

namespace qh {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

tl::unexpected<Error> bad_digit(std::string_view text, std::size_t at) {
  const char c = text[at];
  const auto what = c > ' ' && c <= '~' ? "'" + std::string(1, c) + "'" : "byte 0x" + to_hex(as_bytes({&c, 1}));
  return fail(Errc::kInvalid, what + " as hex digit " + std::to_string(at + 1));
}

tl::unexpected<Error> bad_character(std::string_view alphabet, std::size_t at) {
  return fail(Errc::kInvalid, "not " + std::string(alphabet) + " at character " + std::to_string(at + 1));
}

}  // namespace

std::string to_hex(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    text.push_back(kDigits[std::to_integer<unsigned>(b) >> 4]);
    text.push_back(kDigits[std::to_integer<unsigned>(b) & 15]);
  }
  return text;
}

Result<Bytes> from_hex(std::string_view text) {
  Bytes bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = hex_digit(text[i]);
    const int low = hex_digit(text[i + 1]);
    if (high < 0) return bad_digit(text, i);
    if (low < 0) return bad_digit(text, i + 1);
    bytes.push_back(static_cast<std::byte>(high * 16 + low));
  }
  if (text.size() % 2 == 0) return bytes;
  // A wrong digit is more often the mistake than one that is missing.
  if (hex_digit(text.back()) < 0) return bad_digit(text, text.size() - 1);
  return fail(Errc::kInvalid, "an odd number of hex digits");
}

Result<Bytes> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) {
    return fail(Errc::kInvalid, "base64 of a length that is no multiple of 4 (is the padding missing?)");
  }
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  Bytes bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    std::uint32_t word = 0;
    const bool last = i + 4 == text.size();
    const std::size_t digits = last ? 4 - padding : 4;
    for (std::size_t k = 0; k < digits; ++k) {
      const int digit = base64_digit(text[i + k]);
      if (digit < 0) return bad_character("base64", i + k);
      word |= static_cast<std::uint32_t>(digit) << (18 - 6 * k);
    }
    const std::size_t count = digits - 1;
    if ((word & (0xffffffU >> (8 * count)) & 0xffffffU) != 0) return bad_character("base64", i + digits - 1);
    for (std::size_t k = 0; k < count; ++k) bytes.push_back(static_cast<std::byte>(word >> (16 - 8 * k)));
  }
  return bytes;
}

AlignedBuffer::AlignedBuffer(std::size_t bytes) : bytes_(align_up(bytes, kAlign)) {
  if (bytes_ == 0) return;
  void* memory = std::aligned_alloc(kAlign, bytes_);
  if (memory == nullptr) throw std::bad_alloc();
  std::memset(memory, 0, bytes_);
  data_.reset(static_cast<std::byte*>(memory));
}

void AlignedBuffer::Free::operator()(std::byte* p) const { std::free(p); }

}  // namespace qh
