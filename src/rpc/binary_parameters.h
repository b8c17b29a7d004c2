// rpc/binary_parameters.h - what both sides of typed parameters agree on. Private to rpc/.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qh::rpc::binary {

/// Which parameters are there: the bit of each is its place in the method table.
using Mask = std::uint16_t;
inline constexpr std::size_t kParametersMax = 16;

}  // namespace qh::rpc::binary
