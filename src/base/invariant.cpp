#include "base/invariant.h"

#include <cstdio>
#include <cstdlib>

namespace qh {

void invariant_failed(const char* expression, const char* why, std::source_location where) {
  std::fprintf(stderr, "%s:%u: %s: broken invariant: %s\n  why it must hold: %s\n", where.file_name(), where.line(),
               where.function_name(), expression, why);
  std::abort();
}

}  // namespace qh
