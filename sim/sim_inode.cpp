#include "sim/sim_inode.h"

#include <algorithm>

namespace qh {

std::vector<SimInode::Range> SimInode::torn(Range whole, Rng& rng) {
  const std::uint64_t first = whole.from / kSectorBytes;
  const std::uint64_t sectors = align_up(whole.to, kSectorBytes) / kSectorBytes - first;
  const auto part = [&](std::uint64_t begin, std::uint64_t end) {
    return Range{std::max(whole.from, (first + begin) * kSectorBytes),
                 std::min(whole.to, (first + end) * kSectorBytes)};
  };
  if (sectors == 0) return {};
  switch (rng.below(8)) {
    case 0:
    case 1:
      return {whole};
    case 2:
    case 3:
      return {};
    case 4:
      return {part(0, rng.below(sectors) + 1)};
    case 5:
      return {part(rng.below(sectors), sectors)};
    default:
      break;
  }
  std::vector<Range> survivors;
  for (std::uint64_t i = 0; i < sectors; i += 64) {
    const std::uint64_t coins = rng.next();
    for (std::uint64_t j = i; j < std::min(i + 64, sectors); ++j) {
      if (((coins >> (j - i)) & 1) == 0) continue;
      const Range sector = part(j, j + 1);
      if (!survivors.empty() && survivors.back().to == sector.from)
        survivors.back().to = sector.to;
      else
        survivors.push_back(sector);
    }
  }
  return survivors;
}

std::size_t SimInode::read(Storage::ReadPath path, std::uint64_t offset, std::span<std::byte> into) const {
  if (offset >= size()) return 0;
  into = into.first(std::min<std::uint64_t>(into.size(), size() - offset));
  // O_DIRECT makes Linux write the dirty pages of the range out first, so the cache is what it reads,
  // unless a write-back failed. It flushes no device cache, so nothing becomes durable by it.
  if (path == Storage::ReadPath::kDevice && diverged_)
    device().read(offset, into);
  else
    cache_.read(offset, into);
  return into.size();
}

void SimInode::write(std::uint64_t number, std::uint64_t offset, Bytes bytes) {
  cache_.write(offset, bytes);
  const Range range{offset, offset + bytes.size()};
  changes_.push_back({number, Change::Kind::kWrite, false, range, std::move(bytes)});
}

void SimInode::write_durable(std::uint64_t number, std::uint64_t offset, Bytes bytes) {
  cache_.write(offset, bytes);
  const Range range{offset, offset + bytes.size()};
  const bool in_the_way = std::ranges::any_of(changes_, [&](const Change& c) {
    return c.kind == Change::Kind::kTruncate || (c.range.from < range.to && range.from < c.range.to);
  });
  if (!in_the_way) return durable_.write(offset, bytes);
  // An older change must not come out on top of it; and the journal that takes the new size takes the
  // sizes before it too.
  for (Change& change : changes_) change.certain |= change.kind == Change::Kind::kTruncate;
  changes_.push_back({number, Change::Kind::kWrite, true, range, std::move(bytes)});
}

void SimInode::zero(std::uint64_t number, std::uint64_t from, std::uint64_t to) {
  cache_.zero(from, to);
  changes_.push_back({number, Change::Kind::kZero, false, {from, to}});
}

void SimInode::truncate(std::uint64_t number, std::uint64_t bytes) {
  cache_.resize(bytes);
  changes_.push_back({number, Change::Kind::kTruncate, false, {bytes, bytes}});
}

void SimInode::sync_up_to(std::uint64_t number) {
  while (!changes_.empty() && changes_.front().number <= number) {
    apply(changes_.front(), durable_);
    changes_.pop_front();
  }
}

void SimInode::write_failed(std::uint64_t number, std::uint64_t offset, Bytes bytes, bool through_cache, Rng& rng) {
  for (const Range part : torn({offset, offset + bytes.size()}, rng)) {
    const ByteView reached = ByteView(bytes).subspan(part.from - offset, part.to - part.from);
    if (through_cache)
      durable_.write(part.from, reached);
    else
      write(number, part.from, {reached.begin(), reached.end()});
  }
  if (!through_cache) return;
  cache_.write(offset, bytes);
  diverged_ = true;
}

void SimInode::sync_failed(std::uint64_t number, bool keep_some, Rng& rng) {
  while (!changes_.empty() && changes_.front().number <= number) {
    const Change& change = changes_.front();
    if (change.certain)
      apply(change, durable_);
    else if (keep_some)
      apply_torn(change, rng);
    changes_.pop_front();
    diverged_ = true;
  }
}

void SimInode::power_cut(Rng& rng) {
  // Size and data take separate ways to the disk: a size may be there without the data, which then reads
  // as zeros, and data beyond the size that survived is lost.
  std::uint64_t size = durable_.size();
  for (const Change& change : changes_) {
    const bool shrinks = change.kind == Change::Kind::kTruncate;
    if (change.certain) {
      apply(change, durable_);
      size = shrinks ? change.range.to : std::max(size, change.range.to);
      continue;
    }
    if (shrinks) {
      if (rng.below(2) == 0) continue;
      apply(change, durable_);
      size = change.range.to;
      continue;
    }
    apply_torn(change, rng);
    if (change.range.to > size && rng.below(2) == 0) {
      const std::uint64_t sectors = (change.range.to - size + kSectorBytes - 1) / kSectorBytes;
      const std::uint64_t grown = rng.below(4) == 0 ? rng.below(sectors) * kSectorBytes : change.range.to - size;
      size += grown;
    }
  }
  changes_.clear();
  durable_.resize(size);
  cache_ = durable_;
  diverged_ = false;
}

void SimInode::drop_cache() {
  const std::uint64_t bytes = size();
  cache_ = device();
  cache_.resize(bytes);
  diverged_ = false;
}

void SimInode::corrupt(std::uint64_t offset, std::byte mask) {
  for (SparseBytes* view : {&cache_, &durable_}) {
    if (offset >= view->size()) continue;
    std::byte value{};
    view->read(offset, {&value, 1});
    value ^= mask;
    view->write(offset, {&value, 1});
  }
}

void SimInode::set_contents(ByteView bytes) {
  changes_.clear();
  durable_ = SparseBytes();
  durable_.write(0, bytes);
  cache_ = durable_;
  diverged_ = false;
}

void SimInode::apply(const Change& change, SparseBytes& to) {
  switch (change.kind) {
    case Change::Kind::kWrite:
      return to.write(change.range.from, change.bytes);
    case Change::Kind::kZero:
      return to.zero(change.range.from, change.range.to);
    case Change::Kind::kTruncate:
      return to.resize(change.range.to);
  }
}

void SimInode::apply_torn(const Change& change, Rng& rng) {
  if (change.kind == Change::Kind::kTruncate) {
    if (rng.below(2) == 0) apply(change, durable_);
    return;
  }
  for (const Range part : torn(change.range, rng)) {
    if (change.kind == Change::Kind::kZero) {
      durable_.zero(part.from, part.to);
    } else {
      durable_.write(part.from, ByteView(change.bytes).subspan(part.from - change.range.from, part.to - part.from));
    }
  }
}

SparseBytes SimInode::device() const {
  SparseBytes view = durable_;
  for (const Change& change : changes_) apply(change, view);
  return view;
}

}  // namespace qh
