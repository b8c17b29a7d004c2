#include "base/owner.h"

#include <sys/stat.h>
#include <unistd.h>

namespace qh {

void give_to_owner_of(int directory_fd, int made_fd) {
  struct stat directory {};
  if (::geteuid() != 0 || ::fstat(directory_fd, &directory) != 0 || directory.st_uid == 0) return;
  (void)!::fchown(made_fd, directory.st_uid, directory.st_gid);
}

}  // namespace qh
