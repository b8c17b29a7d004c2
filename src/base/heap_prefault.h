// base/heap_prefault.h - the memory that a growing heap comes to next, made present before it gets there.
//
// The first write to a page of new memory holds its thread in the kernel for 1 to 3 us. For a loop that keeps what it
// is sent that was a fifth of its time (docs/performance.md). Here a thread of its own has the pages made present a
// little ahead of the newest allocation, while that one moves forward block by block, as it does where an allocator
// takes new memory from a large piece in turn (mimalloc: 64 KiB pages of 32 MiB segments; Leijen, Zorn, de Moura,
// ISMM 2019, section 2.3).
//
// Each guess that is wrong costs at most kAhead of memory: MADV_POPULATE_WRITE (madvise(2), Linux 5.14) changes no
// byte, and fails where nothing is mapped or may be written. A kernel without it is asked once. For a heap like
// mimalloc's: where large allocations are mappings of their own, what is ahead may be somebody else's, a shared file
// even.
//
// Threads  allocated() belongs to one thread, and so does the destructor. The other thread starts when the first
//          memory has moved forward; where it cannot start, nothing is made present.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

namespace qh {

/// Addresses, the end not included. Whole pages.
struct AddressRange {
  std::uintptr_t from = 0, to = 0;
};

/// What to make present, by where allocations are made. Pure.
class HeapFrontier {
 public:
  static constexpr std::uintptr_t kAhead = std::uintptr_t{1} << 20;
  /// Never beyond the aligned piece of this size that an allocation stands in: behind it may be something else.
  static constexpr std::uintptr_t kPiece = std::uintptr_t{32} << 20;

  /// The memory of an allocation of so many bytes. Answers what is to be made present now, where it moves forward and
  /// less than half of kAhead is known to be present before it.
  std::optional<AddressRange> allocated(std::uintptr_t at, std::size_t bytes);

 private:
  static constexpr std::uintptr_t kBlock = std::uintptr_t{64} << 10;

  std::uintptr_t last_block_ = 0;
  AddressRange asked_;  ///< made present, or soon: what came last of it
};

class HeapPrefault {
 public:
  HeapPrefault() = default;
  HeapPrefault(const HeapPrefault&) = delete;
  HeapPrefault& operator=(const HeapPrefault&) = delete;
  /// Waits for the piece that is being made present: 256 KiB.
  ~HeapPrefault();

  /// Some 2 ns, unless there is something to be made present.
  void allocated(const void* memory, std::size_t bytes) {
    if (const auto range = frontier_.allocated(reinterpret_cast<std::uintptr_t>(memory), bytes)) ask(*range);
  }

 private:
  void ask(AddressRange range);
  void run();

  HeapFrontier frontier_;
  std::mutex mutex_;  ///< over the next four
  std::condition_variable changed_;
  AddressRange wanted_;
  bool stopping_ = false;
  bool given_up_ = false;  ///< no thread, or no such system call
  std::thread thread_;
};

}  // namespace qh
