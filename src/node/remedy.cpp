#include "node/remedy.h"

#include <cerrno>

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
    case EMFILE:
      return "Raise the limit of open files: ulimit -n, or LimitNOFILE= in the unit";
    case ENFILE:
      return "The machine has no more open files: sysctl fs.file-max";
    case EAGAIN:
      return "Raise the limit of threads: ulimit -u, or TasksMax= in the unit";
    case ENOMEM:
      return "There is too little memory: raise ulimit -v, or MemoryMax= in the unit";
    default:
      return {};
  }
}

}  // namespace qh::node
