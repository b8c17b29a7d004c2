#include "base/result.h"

#include <cstring>

namespace qh {

std::string_view errc_name(Errc code) {
  switch (code) {
    case Errc::kInvalid:
      return "Invalid";
    case Errc::kTooLarge:
      return "TooLarge";
    case Errc::kQueueFull:
      return "QueueFull";
    case Errc::kRateLimited:
      return "RateLimited";
    case Errc::kStorageFull:
      return "StorageFull";
    case Errc::kStorageFailed:
      return "StorageFailed";
    case Errc::kCorrupt:
      return "Corrupt";
    case Errc::kNewerVersion:
      return "NewerVersion";
    case Errc::kNotFound:
      return "NotFound";
    case Errc::kExists:
      return "Exists";
    case Errc::kLeaseLost:
      return "LeaseLost";
    case Errc::kTimeout:
      return "Timeout";
    case Errc::kShuttingDown:
      return "ShuttingDown";
    case Errc::kBusy:
      return "Busy";
    case Errc::kNotPermitted:
      return "NotPermitted";
    case Errc::kIo:
      return "Io";
  }
  return "Unknown";
}

std::string Error::to_string() const {
  std::string text = context;
  if (os_errno != 0) {
    if (!text.empty()) text += ": ";
    text += std::strerror(os_errno);
  }
  return text.empty() ? std::string(errc_name(code)) : text;
}

}  // namespace qh
