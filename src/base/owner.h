// base/owner.h - what root makes in somebody's directory is theirs.
//
// Root mends a log, imports into it or tries a start; the service's user must be able to open what that left.
//
// Errors   none: where the system refuses (a file system without owners, a root of a namespace), it stays root's.
// Threads  a function of the file system.
#pragma once

namespace qh {

/// Gives what was just made here, by root, to the owner and the group of the directory that it was made in.
void give_to_owner_of(int directory_fd, int made_fd);

}  // namespace qh
