#include "base/heap_prefault.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <exception>

#include "base/bytes.h"
#include "base/signals_blocked.h"

namespace qh {
namespace {

constexpr std::uintptr_t kPage = 4096;
/// At a time: the newest range goes first, and the destructor waits for no more.
constexpr std::uintptr_t kStep = std::uintptr_t{256} << 10;

/// False: something of it is not mapped, or may not be written. An allocator may have reserved it for later.
bool make_present(AddressRange range) {
  auto* const memory = reinterpret_cast<void*>(range.from);  // NOLINT(performance-no-int-to-ptr): it is none of ours
  return ::madvise(memory, range.to - range.from, MADV_POPULATE_WRITE) == 0;
}

bool kernel_can() { return ::madvise(nullptr, 0, MADV_POPULATE_WRITE) == 0; }

}  // namespace

std::optional<AddressRange> HeapFrontier::allocated(std::uintptr_t at, std::size_t bytes) {
  const auto end = at + std::max<std::size_t>(bytes, 1);
  const auto first = at / kBlock, last = (end - 1) / kBlock;
  if (last == last_block_) return std::nullopt;
  const bool forward = first == last_block_ || first == last_block_ + 1;
  last_block_ = last;
  if (!forward) return std::nullopt;

  const bool known = end >= asked_.from && end <= asked_.to;
  if (known && asked_.to - end >= kAhead / 2) return std::nullopt;
  const AddressRange range{known ? asked_.to : align_up(end, kPage),
                           std::min(align_up(end, kPage) + kAhead, align_up(end, kPiece))};
  if (range.from >= range.to) return std::nullopt;
  // What stands far behind may have been given back by the allocator since.
  asked_ = {known ? std::max(asked_.from, range.to - std::min(range.to, 2 * kAhead)) : range.from, range.to};
  return range;
}

HeapPrefault::~HeapPrefault() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void HeapPrefault::ask(AddressRange range) {
  {
    const std::lock_guard lock(mutex_);
    if (given_up_) return;
    const bool goes_on = wanted_.from < wanted_.to && wanted_.to == range.from;
    wanted_ = {goes_on ? wanted_.from : range.from, range.to};
    if (!thread_.joinable()) {
      given_up_ = !kernel_can();
      if (given_up_) return;
      const SignalsBlocked inherited_by_the_thread;
      try {
        thread_ = std::thread([this] { run(); });
        pthread_setname_np(thread_.native_handle(), "qh-prefault");
      } catch (const std::exception&) {
        given_up_ = true;
      }
      return;
    }
  }
  changed_.notify_one();
}

void HeapPrefault::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || wanted_.from < wanted_.to; });
    if (stopping_) return;
    const AddressRange step{wanted_.from, std::min(wanted_.from + kStep, wanted_.to)};
    wanted_.from = step.to;
    lock.unlock();
    const bool present = make_present(step);
    lock.lock();
    if (!present && wanted_.from == step.to) wanted_ = {};  // nor, as a rule, what is behind it
  }
}

}  // namespace qh
