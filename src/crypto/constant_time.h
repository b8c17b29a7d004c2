// crypto/constant_time.h - comparing secrets without telling by time where they differ.
//
// Threads  pure functions.
#pragma once

#include "base/bytes.h"

namespace qh::crypto {

/// False for different sizes; the sizes themselves are no secret.
bool equal(ByteView a, ByteView b);

}  // namespace qh::crypto
