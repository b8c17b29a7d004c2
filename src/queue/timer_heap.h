// queue/timer_heap.h - the next of many deadlines, any of which may be taken back.
//
// A binary heap that tells each item where it stands, so that an item is removed or moved in O(log n)
// and nothing stale is ever kept (a lease that is acked leaves no trace).
// Threads  the owner's.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace qh::queue {

/// `Position` is a member of T, a std::uint32_t that is 0 while the item is not in the heap.
template <class T, std::uint32_t T::*Position>
class TimerHeap {
 public:
  bool empty() const { return nodes_.empty(); }
  std::size_t size() const { return nodes_.size(); }
  std::int64_t next_ns() const { return nodes_.empty() ? INT64_MAX : nodes_.front().at_ns; }
  T* front() const { return nodes_.front().item; }
  static bool contains(const T& item) { return item.*Position != 0; }
  std::int64_t at_ns(const T& item) const { return nodes_[item.*Position - 1].at_ns; }

  void set(T& item, std::int64_t at_ns) {
    if (!contains(item)) {
      nodes_.push_back({at_ns, &item});
      item.*Position = static_cast<std::uint32_t>(nodes_.size());
    } else {
      nodes_[item.*Position - 1].at_ns = at_ns;
    }
    settle(item.*Position - 1);
  }

  void remove(T& item) {
    if (!contains(item)) return;
    const std::size_t at = item.*Position - 1;
    item.*Position = 0;
    const Node last = nodes_.back();
    nodes_.pop_back();
    if (at == nodes_.size()) return;
    put(at, last);
    settle(at);
  }

 private:
  struct Node {
    std::int64_t at_ns;
    T* item;
  };

  void put(std::size_t at, Node node) {
    nodes_[at] = node;
    node.item->*Position = static_cast<std::uint32_t>(at + 1);
  }

  void settle(std::size_t at) {
    const Node node = nodes_[at];
    while (at > 0 && node.at_ns < nodes_[(at - 1) / 2].at_ns) {
      put(at, nodes_[(at - 1) / 2]);
      at = (at - 1) / 2;
    }
    while (true) {
      std::size_t child = 2 * at + 1;
      if (child >= nodes_.size()) break;
      if (child + 1 < nodes_.size() && nodes_[child + 1].at_ns < nodes_[child].at_ns) ++child;
      if (nodes_[child].at_ns >= node.at_ns) break;
      put(at, nodes_[child]);
      at = child;
    }
    put(at, node);
  }

  std::vector<Node> nodes_;
};

}  // namespace qh::queue
