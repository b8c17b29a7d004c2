#include "queue/id_runs.h"

#include <memory>

#include "base/invariant.h"

namespace qh::queue {

IdRuns::~IdRuns() { runs_.clear_and_dispose(std::default_delete<Run>()); }

IdRuns::Run* IdRuns::run(std::uint64_t number) const {
  if (used_ != nullptr && used_->number == number) return used_;
  if (runs_.empty()) return nullptr;
  Run& first = *runs_.begin();
  Run& last = *runs_.rbegin();
  if (number < first.number || number > last.number) return nullptr;
  if (number == first.number) return used_ = &first;
  if (number == last.number) return used_ = &last;
  const auto it = runs_.find(number);
  return it == runs_.end() ? nullptr : used_ = &*it;
}

bool IdRuns::insert(MessageId id, Entry& entry) {
  const auto number = number_of(id);
  Run* into = run(number);
  if (into == nullptr) {
    into = used_ = new Run(number);
    runs_.insert(runs_.end(), *into);
  }
  const auto bit = std::uint32_t{1} << place_of(id);
  if ((into->taken & bit) != 0) return false;
  into->taken |= bit;
  into->at[place_of(id)] = &entry;
  return true;
}

void IdRuns::erase(MessageId id) {
  Run* from = run(number_of(id));
  const auto bit = std::uint32_t{1} << place_of(id);
  INVARIANT(from != nullptr && (from->taken & bit) != 0, "only what is there is taken out");
  from->taken &= ~bit;
  if (from->taken != 0) return;
  used_ = nullptr;
  runs_.erase_and_dispose(runs_.iterator_to(*from), std::default_delete<Run>());
}

Entry* IdRuns::find(MessageId id) const {
  const Run* in = run(number_of(id));
  return in != nullptr && (in->taken >> place_of(id) & 1U) != 0 ? in->at[place_of(id)] : nullptr;
}

Entry* IdRuns::behind(MessageId id) const {
  if (const Run* in = run(number_of(id)); in != nullptr) {
    if (Entry* next = lowest(*in, place_of(id) + 1)) return next;
  }
  const auto it = runs_.upper_bound(number_of(id));
  if (it == runs_.end()) return nullptr;
  used_ = &*it;
  return lowest(*it, 0);
}

}  // namespace qh::queue
