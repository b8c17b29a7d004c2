// The runs against a map, under ids that come in turn and ids that do not.
#include "queue/id_runs.h"

#include <deque>
#include <map>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "queue/store.h"

namespace qh::queue {
namespace {

struct Rig {
  IdRuns runs;
  std::deque<Entry> entries;
  std::map<MessageId, Entry*> naive;

  void insert(MessageId id) {
    Entry& entry = entries.emplace_back();
    entry.id = id;
    RC_ASSERT(runs.insert(id, entry) == naive.emplace(id, &entry).second);
  }
  void erase(MessageId id) {
    naive.erase(id);
    runs.erase(id);
  }
  /// One that is there, mostly the first.
  void erase_some() {
    if (naive.empty()) return;
    auto at = naive.begin();
    if (*rc::gen::weightedElement<bool>({{3, false}, {1, true}}))
      std::advance(at, *rc::gen::inRange<std::size_t>(0, naive.size()));
    erase(at->first);
  }
  Entry* at_or_behind(std::map<MessageId, Entry*>::const_iterator it) const {
    return it == naive.end() ? nullptr : it->second;
  }
  void compare(MessageId about) const {
    RC_ASSERT(runs.empty() == naive.empty());
    RC_ASSERT(runs.first() == at_or_behind(naive.begin()));
    RC_ASSERT(runs.behind(about) == at_or_behind(naive.upper_bound(about)));
    const auto there = naive.find(about);
    RC_ASSERT(runs.find(about) == (there == naive.end() ? nullptr : there->second));
  }
};

RC_GTEST_PROP(IdRuns, SayWhatAMapSays, ()) {
  Rig rig;
  std::uint64_t last = *rc::gen::element<std::uint64_t>(0, 30, 1'000, (std::uint64_t{1} << 53U) - 300);
  const auto any_id = rc::gen::inRange<std::uint64_t>(last < 50 ? 1 : last - 50, last + 250);
  const auto steps = *rc::gen::inRange(0, 400);
  for (int i = 0; i < steps; ++i) {
    switch (*rc::gen::inRange(0, 5)) {
      case 0:
      case 1:
        if (last + 1 < std::uint64_t{1} << 53U) rig.insert(MessageId(++last));
        break;
      case 2:
        rig.insert(MessageId(*any_id));
        break;
      default:
        rig.erase_some();
    }
    rig.compare(MessageId(*any_id));
  }
  std::vector<Entry*> walked, all;
  for (auto* entry = rig.runs.first(); entry != nullptr; entry = rig.runs.behind(entry->id)) walked.push_back(entry);
  for (const auto& [id, entry] : rig.naive) all.push_back(entry);
  RC_ASSERT(walked == all);
}

}  // namespace
}  // namespace qh::queue
