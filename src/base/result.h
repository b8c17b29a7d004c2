// base/result.h - errors as values.
//
// Errors   a code exists only where a caller reacts to it; everything else is context.
// Threads  values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace qh {

enum class Errc : std::uint8_t {
  kInvalid,        ///< the input is wrong: `subject` names the field
  kTooLarge,       ///< over a size limit: `size`, `limit` in bytes
  kQueueFull,      ///< a bound of the queue: `subject` names it; `retry_after_ms`
  kRateLimited,    ///< `retry_after_ms`
  kStorageFull,    ///< no room on the disk; goes away when there is room
  kStorageFailed,  ///< a write or sync failed: `subject` names the file; final until a restart
  kCorrupt,        ///< stored bytes are damaged: `subject` names the file
  kNewerVersion,   ///< stored by a newer program
  kNotFound,       ///< no such message, file or directory
  kExists,         ///< there already
  kLeaseLost,      ///< the lease ran out, was answered, or never was
  kTimeout,        ///< the deadline passed
  kShuttingDown,   ///< no new work is taken
  kBusy,           ///< somebody else holds it: `subject` names the holder
  kNotPermitted,   ///< the system or a role forbids it
  kIo,             ///< any other answer of the operating system
};

/// The name that people, logs and clients see, for example "QueueFull".
std::string_view errc_name(Errc code);

/// What went wrong. `context` reads from the outside in: "recover: segment 7: offset 8192: ...".
struct [[nodiscard]] Error {
  Errc code = Errc::kInvalid;
  int os_errno = 0;  ///< 0: none
  std::string context;
  std::string subject;              ///< the field, bound, file or holder that is meant; may be empty
  std::int64_t retry_after_ms = 0;  ///< 0: unknown or never
  std::uint64_t size = 0;           ///< kTooLarge: bytes that were given
  std::uint64_t limit = 0;          ///< kTooLarge: bytes that are allowed

  Error() = default;
  Error(Errc c, std::string what, int err = 0) : code(c), os_errno(err), context(std::move(what)) {}

  /// Puts the step in front: `return std::move(error).in("open queue")`.
  Error&& in(std::string_view step) && {
    context = std::string(step) + ": " + context;
    return std::move(*this);
  }
  Error&& about(std::string_view what) && {
    subject = what;
    return std::move(*this);
  }

  /// One line for people: context, then the system's own words when there are any.
  std::string to_string() const;
};

template <class T>
using Result = tl::expected<T, Error>;

/// `return fail(Errc::kIo, "open queue.id", errno);`
inline tl::unexpected<Error> fail(Errc code, std::string what, int os_errno = 0) {
  return tl::unexpected<Error>(Error(code, std::move(what), os_errno));
}
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace qh
