// queue/id_runs.h - entries by id, in order.
//
// Ids are given in turn, and messages mostly end in turn. So the entries whose ids differ in the last five bits alone
// stand in one run: a place for each, and a bit that says whether it is taken. The runs are in a red-black tree. What
// adds behind the last or takes the first meets the same run 32 times, where a tree of entries would touch three of
// them each time, and a hash table would now and then have to move a million at once.
//
// Cost     constant in the run that was used last, in the first and in the last; else O(log runs).
// Memory   10 bytes an entry while the ids are dense, 304 at most.
// Private to the room. Threads: the owner's.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include <boost/intrusive/set.hpp>

#include "queue/message.h"
#include "queue/queued_message.h"

namespace qh::queue {

struct Entry;

class IdRuns {
 public:
  IdRuns() = default;
  IdRuns(const IdRuns&) = delete;
  IdRuns& operator=(const IdRuns&) = delete;
  ~IdRuns();

  bool empty() const { return runs_.empty(); }
  /// False: there is one with this id.
  bool insert(MessageId id, Entry& entry);
  /// It must be there.
  void erase(MessageId id);
  /// nullptr: there is none.
  Entry* find(MessageId id) const;
  /// The one with the least id; nullptr: empty.
  Entry* first() const { return empty() ? nullptr : lowest(*runs_.begin(), 0); }
  /// The next greater one; nullptr: there is none.
  Entry* behind(MessageId id) const;

 private:
  static constexpr unsigned kPlaceBits = 5, kPlaces = 1U << kPlaceBits;
  using Hook = boost::intrusive::set_base_hook<boost::intrusive::optimize_size<true>,
                                               boost::intrusive::link_mode<boost::intrusive::safe_link>>;
  struct Run : Hook {
    explicit Run(std::uint64_t n) : number(n) {}
    std::uint64_t number;     ///< of their ids, all but the last bits
    std::uint32_t taken = 0;  ///< a bit a place
    std::array<Entry*, kPlaces> at;
  };
  struct NumberOf {
    using type = std::uint64_t;  // NOLINT(readability-identifier-naming): Boost.Intrusive's
    std::uint64_t operator()(const Run& run) const { return run.number; }
  };
  using Runs = boost::intrusive::set<Run, boost::intrusive::key_of_value<NumberOf>>;

  static std::uint64_t number_of(MessageId id) { return id.value() >> kPlaceBits; }
  static unsigned place_of(MessageId id) { return static_cast<unsigned>(id.value() % kPlaces); }
  /// The first at `from` or behind it; nullptr: none.
  static Entry* lowest(const Run& run, unsigned from) {
    const auto bits = from < kPlaces ? run.taken >> from << from : 0;
    return bits == 0 ? nullptr : run.at[static_cast<unsigned>(std::countr_zero(bits))];
  }
  Run* run(std::uint64_t number) const;

  mutable Runs runs_;            ///< none is empty
  mutable Run* used_ = nullptr;  ///< the one that was asked for last
};

}  // namespace qh::queue
