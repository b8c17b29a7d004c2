#include "queue/key_window.h"

#include <algorithm>

#include "base/invariant.h"

namespace qh::queue {

KeyWindow::~KeyWindow() {
  by_age_.clear();
  logged_.clear();
}

KeyEntry* KeyWindow::find(std::string_view key) {
  const auto it = keys_.find(std::string(key));
  return it == keys_.end() ? nullptr : &it->second;
}

KeyEntry& KeyWindow::add(std::string_view key, MessageId id, Kind kind, WallTime created_at, WallTime now_wall,
                         MonoTime now) {
  const auto [it, fresh] = keys_.try_emplace(std::string(key));
  INVARIANT(fresh, "a key is looked up before it is added");
  auto& entry = it->second;
  entry.key = it->first;
  entry.id = id;
  entry.kind = kind;
  entry.created_at = created_at;
  const auto age = std::clamp(now_wall - created_at, Duration(0), window_);
  entry.ends = now + (window_ - age);
  by_age_.push_back(entry);
  bytes_ += key.size();
  return entry;
}

void KeyWindow::logged(KeyEntry& entry, wal::Ordinal ordinal) {
  if (static_cast<LogHook&>(entry).is_linked()) logged_.erase(logged_.iterator_to(entry));
  entry.ordinal = ordinal;
  logged_.push_back(entry);
}

void KeyWindow::erase(KeyEntry& entry) {
  by_age_.erase(by_age_.iterator_to(entry));
  if (static_cast<LogHook&>(entry).is_linked()) logged_.erase(logged_.iterator_to(entry));
  bytes_ -= entry.key.size();
  keys_.erase(std::string(entry.key));
}

KeyEntry* KeyWindow::due(MonoTime now) {
  if (by_age_.empty()) return nullptr;
  if (by_age_.front().ends <= now) return &by_age_.front();
  if (keys_.size() <= max_) return nullptr;
  ++evicted_;
  return &by_age_.front();
}

MonoTime KeyWindow::next() const {
  if (by_age_.empty()) return MonoTime::never();
  return keys_.size() > max_ ? MonoTime{} : by_age_.front().ends;  // too many: at once
}

void KeyWindow::sort() {
  by_age_.sort([](const KeyEntry& a, const KeyEntry& b) { return a.ends < b.ends; });
}

}  // namespace qh::queue
