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
    case ENOMEM:
      return "There is too little memory: raise ulimit -v, or MemoryMax= in the unit";
    default:
      return {};
  }
}

}  // namespace qh::node
