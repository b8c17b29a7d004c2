#include "output.h"

#include <cerrno>
#include <cstdio>
#include <string>

#include "base/result.h"
#include "node/log.h"

namespace qh::app {
namespace {

int g_errno = 0;  // of the first failure: stdio forgets what it could not write, and a later flush succeeds

}  // namespace

void print(std::string_view text) {
  if (g_errno != 0 || text.empty()) return;
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) g_errno = errno != 0 ? errno : EIO;
}

int end_output(int code) {
  if (g_errno == 0 && std::fflush(stdout) != 0) g_errno = errno;
  if (g_errno == 0) return code;
  node::say("quantumharmony-node: " + Error(Errc::kIo, "cannot write the output", g_errno).to_string());
  return code == 0 ? 1 : code;
}

}  // namespace qh::app
