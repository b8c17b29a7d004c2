#include "node/queue_data.h"

#include <array>
#include <fstream>
#include <system_error>

#include "base/file_storage_error.h"

namespace qh::node {
namespace {

namespace wal = queue::wal;

/// Both blocks of a mark, the header of a segment.
bool begins_with_zeros(const std::filesystem::path& file) {
  std::array<char, 2 * wal::kBlockBytes> begin{};
  std::ifstream in(file, std::ios::binary);
  in.read(begin.data(), begin.size());
  return in.is_open() && !in.bad() && wal::is_zero(as_bytes(std::string_view(begin.data(), begin.size())));
}

}  // namespace

Result<bool> has_queue(const std::filesystem::path& directory) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const auto name = at->path().filename();
    if (name == wal::kIdentityName) return true;
    const bool of_a_log = name == wal::kMarkName || name.extension() == ".wal";
    if (of_a_log && !begins_with_zeros(at->path())) return true;
  }
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
    return storage_error(error.value(), "look for the queue", directory.native());
  return false;
}

std::optional<wal::Identity> identity_in(const std::filesystem::path& directory) {
  std::array<char, wal::kBlockBytes> block{};
  std::ifstream in(directory / wal::kIdentityName, std::ios::binary);
  in.read(block.data(), block.size());
  if (!in) return std::nullopt;
  auto identity = wal::decode_identity(as_bytes(std::string_view(block.data(), block.size())));
  if (!identity) return std::nullopt;
  return std::move(*identity);
}

}  // namespace qh::node
