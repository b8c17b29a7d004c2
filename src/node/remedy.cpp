#include "node/remedy.h"

#include <cerrno>
#include <string>

#include "node/limits.h"

namespace qh::node {

std::string_view remedy_for(int os_errno) {
  switch (os_errno) {
    case EACCES:
    case EPERM:
      return "Give this user write permission there (chown, chmod), or choose another place: --data-dir DIR";
    case EROFS:
      return "Mount it writable (mount -o remount,rw), or choose another place: --data-dir DIR";
    case ENOSPC:
    case EDQUOT:
      return "Free some space there, or choose another place: --data-dir DIR";
    case EFBIG:
      return "Allow it larger files: ulimit -f, or LimitFSIZE= in the unit";
    case ENOMEM:
      return "There is too little memory: raise ulimit -v, or MemoryMax= in the unit";
    default:
      return {};
  }
}

Error with_remedy(Error error, std::string_view otherwise) {
  if (error.os_errno == 0) return error;
  if (const auto limit = remedy_for_limit(error.os_errno); !limit.empty()) {
    error.context = error.to_string() + "; " + std::string(limit);
    error.os_errno = 0;
    return error;
  }
  const auto remedy = remedy_for(error.os_errno);
  if (remedy.empty() && otherwise.empty()) return error;
  error.context = error.to_string() + ". " + std::string(remedy.empty() ? otherwise : remedy);
  error.os_errno = 0;  // said already
  return error;
}

Error with_repair(Error error, const std::filesystem::path& queue) {
  if (error.code != Errc::kCorrupt) return error;
  error.context += ". Nothing was changed. `quantumharmony-node wal verify --dir " + queue.string() +
                   "` says what can be read, `quantumharmony-node wal repair --dir " + queue.string() + "` salvages it";
  return error;
}

}  // namespace qh::node
