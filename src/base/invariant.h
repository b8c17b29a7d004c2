// base/invariant.h - checks on our own logic that stay on in release.
//
// INVARIANT is for bugs of ours, never for input: bad input gets an Error. A broken invariant
// ends the process with the expression, the reason and the place, since going on would write
// what we no longer understand to disk.
#pragma once

#include <source_location>

namespace qh {

[[noreturn]] void invariant_failed(const char* expression, const char* why, std::source_location where);

}  // namespace qh

// A macro, because only the preprocessor can print the expression.
#define INVARIANT(expr, why) ((expr) ? void() : ::qh::invariant_failed(#expr, why, std::source_location::current()))
