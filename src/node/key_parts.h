// node/key_parts.h - how deep the keys of a TOML text go, before its parser is given it.
//
// The parser calls itself for each part of a dotted key and each table in a table, and the text says how many there
// are. With this bound, and the parser's own of 256 values in each other, 2 MiB of stack are enough, also under ASan.
//
// Threads  a pure function.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace qh::node {

/// More than any key of the configuration has: queue.max-depth has two.
inline constexpr std::size_t kKeyPartsMax = 8;

/// The line, from 1 on, of the first key of more than kKeyPartsMax dotted parts. What stands in strings and comments is
/// no key; of a text that is no TOML, all up to its first mistake is seen.
std::optional<std::size_t> line_of_deep_key(std::string_view toml);

}  // namespace qh::node
