#include "queue/read_ahead.h"

#include <utility>

#include "base/storage_await.h"

namespace qh::queue::wal {

Task<void> ReadAhead::start(std::string name, std::uint64_t bytes, Storage::ReadPath path) {
  name_ = std::move(name);
  path_ = path;
  got_.reset();
  if (buffer_.size() < bytes) buffer_ = AlignedBuffer(bytes);
  // Completions come only when the owner looks for them: opened in the background, the file would be read only after
  // the owner had finished with the one before.
  auto file = co_await io::open(storage_, name_, Storage::OpenMode::kRead);
  if (!file) {
    got_ = fail(std::move(file.error()));
    co_return;
  }
  storage_.read(*file, 0, buffer_.span().first(bytes), path_, [this, file = *file](Result<std::size_t> got) {
    storage_.close(file);
    ended(std::move(got));
  });
}

void ReadAhead::ended(Result<std::size_t> got) {
  got_ = std::move(got);
  if (waiting_) std::exchange(waiting_, {})(true);
}

Task<void> ReadAhead::finish() {
  if (name_.empty() || got_) co_return;
  co_await until<bool>([this](auto done) { waiting_ = std::move(done); });
}

Result<std::size_t> ReadAhead::fetch(AlignedBuffer& buffer) {
  name_.clear();
  auto got = std::move(*got_);
  got_.reset();
  if (got) std::swap(buffer, buffer_);
  return got;
}

}  // namespace qh::queue::wal
