#include "sim/sim_directory.h"

#include <algorithm>
#include <set>

namespace qh {

SimDirectory::Inode SimDirectory::find(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : found->second;
}

void SimDirectory::create(std::uint64_t number, const std::string& name, Inode inode) {
  changes_.push_back({number, "", name, std::move(inode)});
  apply(changes_.back(), names_);
}

void SimDirectory::rename(std::uint64_t number, const std::string& from, const std::string& to) {
  if (from == to) return;
  changes_.push_back({number, from, to, find(from)});
  apply(changes_.back(), names_);
}

void SimDirectory::remove(std::uint64_t number, const std::string& name) {
  changes_.push_back({number, name, "", nullptr});
  apply(changes_.back(), names_);
}

void SimDirectory::sync_up_to(std::uint64_t number) {
  const auto end = std::ranges::find_if(changes_, [&](const Change& c) { return c.number > number; });
  for (auto change = changes_.begin(); change != end; ++change) apply(*change, durable_);
  changes_.erase(changes_.begin(), end);
}

void SimDirectory::power_cut(Rng& rng, Loss loss) {
  if (loss == Loss::kPrefix) {
    const std::size_t kept = rng.below(changes_.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) apply(changes_[i], durable_);
  } else {
    std::set<std::string> lost;  // names whose later history is gone with an earlier step
    for (const Change& change : changes_) {
      if (lost.contains(change.from) || lost.contains(change.to) || rng.below(2) == 0) {
        if (!change.from.empty()) lost.insert(change.from);
        if (!change.to.empty()) lost.insert(change.to);
      } else {
        apply(change, durable_);
      }
    }
  }
  changes_.clear();
  names_ = durable_;
  for (auto& [name, inode] : names_) inode->power_cut(rng);
}

void SimDirectory::set(const std::string& name, Inode inode) {
  erase(name);
  names_[name] = inode;
  durable_[name] = std::move(inode);
}

void SimDirectory::erase(const std::string& name) {
  std::erase_if(changes_, [&](const Change& c) { return c.from == name || c.to == name; });
  names_.erase(name);
  durable_.erase(name);
}

void SimDirectory::apply(const Change& change, Names& to) {
  if (!change.from.empty()) to.erase(change.from);
  if (!change.to.empty()) to[change.to] = change.inode;
}

}  // namespace qh
