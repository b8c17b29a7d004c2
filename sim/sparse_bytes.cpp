#include "sim/sparse_bytes.h"

#include <algorithm>

namespace qh {

template <class On>
void SparseBytes::each_page(std::uint64_t offset, std::uint64_t bytes, On on) {
  for (std::uint64_t done = 0; done < bytes;) {
    const std::uint64_t at = offset + done;
    const std::size_t inside = at % kPageBytes;
    const std::size_t here = std::min<std::uint64_t>(kPageBytes - inside, bytes - done);
    on(at / kPageBytes, inside, here, done);
    done += here;
  }
}

void SparseBytes::resize(std::uint64_t bytes) {
  if (bytes < size_) {
    zero(bytes, std::min(size_, align_up(bytes, kPageBytes)));  // the rest of the page that stays
  }
  pages_.resize(align_up(bytes, kPageBytes) / kPageBytes);
  size_ = bytes;
}

void SparseBytes::write(std::uint64_t offset, ByteView bytes) {
  if (offset + bytes.size() > size_) resize(offset + bytes.size());
  each_page(offset, bytes.size(), [&](std::size_t page, std::size_t inside, std::size_t here, std::size_t done) {
    const ByteView part = bytes.subspan(done, here);
    if (!pages_[page]) {
      if (std::ranges::all_of(part, [](std::byte b) { return b == std::byte{0}; })) return;
      pages_[page] = std::make_unique<Page>();
    }
    std::ranges::copy(part, pages_[page]->begin() + static_cast<std::ptrdiff_t>(inside));
  });
}

void SparseBytes::zero(std::uint64_t from, std::uint64_t to) {
  if (to > size_) resize(to);
  each_page(from, to - from, [&](std::size_t page, std::size_t inside, std::size_t here, std::size_t) {
    if (here == kPageBytes) {
      pages_[page].reset();
    } else if (pages_[page]) {
      std::fill_n(pages_[page]->begin() + static_cast<std::ptrdiff_t>(inside), here, std::byte{0});
    }
  });
}

void SparseBytes::read(std::uint64_t offset, std::span<std::byte> into) const {
  each_page(offset, into.size(), [&](std::size_t page, std::size_t inside, std::size_t here, std::size_t done) {
    const auto part = into.subspan(done, here);
    if (page < pages_.size() && pages_[page]) {
      std::copy_n(pages_[page]->begin() + static_cast<std::ptrdiff_t>(inside), here, part.begin());
    } else {
      std::ranges::fill(part, std::byte{0});
    }
  });
}

Bytes SparseBytes::all() const {
  Bytes bytes(size_);
  read(0, bytes);
  return bytes;
}

SparseBytes& SparseBytes::operator=(const SparseBytes& other) {
  if (this == &other) return *this;
  pages_.clear();
  pages_.resize(other.pages_.size());
  for (std::size_t i = 0; i < pages_.size(); ++i) {
    if (other.pages_[i]) pages_[i] = std::make_unique<Page>(*other.pages_[i]);
  }
  size_ = other.size_;
  return *this;
}

}  // namespace qh
