// crypto/hash.h - digests.
//
// Format   SHA-256 of FIPS 180-4, SHA3-256 of FIPS 202.
// Errors   none: OpenSSL answers for memory alone, and without it we end.
// Threads  pure functions.
#pragma once

#include <array>
#include <cstddef>

#include "base/bytes.h"

namespace qh::crypto {

using Digest32 = std::array<std::byte, 32>;

Digest32 sha256(ByteView data);
Digest32 sha3_256(ByteView data);

}  // namespace qh::crypto
