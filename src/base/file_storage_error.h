// base/file_storage_error.h - errno and file names, the same for the real and the simulated disk.
//
// Errors   ENOSPC, EDQUOT -> kStorageFull; ENOENT -> kNotFound; EEXIST -> kExists; EACCES, EPERM ->
//          kNotPermitted; all else -> kIo. `os_errno` keeps the number, `subject` the file.
// Threads  values.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace qh {

inline Errc storage_errc(int os_errno) {
  switch (os_errno) {
    case ENOSPC:
    case EDQUOT:
      return Errc::kStorageFull;
    case ENOENT:
      return Errc::kNotFound;
    case EEXIST:
      return Errc::kExists;
    case EACCES:
    case EPERM:
      return Errc::kNotPermitted;
    default:
      return Errc::kIo;
  }
}

/// "write 00000042.wal"
inline tl::unexpected<Error> storage_error(int os_errno, std::string_view step, std::string_view file) {
  Error error(storage_errc(os_errno), std::string(step).append(" ").append(file), os_errno);
  return fail(std::move(error).about(file));
}

/// "write 00000042.wal at offset 8192"
inline tl::unexpected<Error> storage_error(int os_errno, std::string_view step, std::string_view file,
                                           std::uint64_t offset) {
  auto failed = storage_error(os_errno, step, file);
  failed.value().context.append(" at offset ").append(std::to_string(offset));
  return failed;
}

/// A name that stays inside its directory.
inline bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

inline tl::unexpected<Error> bad_file_name(std::string_view name) {
  Error error(Errc::kInvalid, "not a plain file name: '" + std::string(name) + "'");
  return fail(std::move(error).about(name));
}

}  // namespace qh
