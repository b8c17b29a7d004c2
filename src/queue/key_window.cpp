#include "queue/key_window.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/invariant.h"

namespace qh::queue {

KeyWindow::~KeyWindow() {
  logged_.clear();
  for (const KeyRef key : keys_) {
    if (EndedKey* ended = key.ended(); ended != nullptr) free_ended(ended);
  }
}

EndedKey* KeyWindow::make_ended(std::string_view key) {
  auto* ended = new (::operator new(sizeof(EndedKey) + key.size())) EndedKey;
  ended->key_bytes = static_cast<std::uint8_t>(key.size());
  std::memcpy(reinterpret_cast<char*>(ended + 1), key.data(), key.size());
  return ended;
}

void KeyWindow::free_ended(EndedKey* ended) {
  ended->~EndedKey();
  ::operator delete(ended);
}

std::uint32_t KeyWindow::turn_of(KeyRef key) {
  return key.message() != nullptr ? key.message()->key_turn() : key.ended()->turn;
}

void KeyWindow::set_turn(KeyRef key, std::uint32_t turn) {
  if (key.message() != nullptr)
    key.message()->set_key_turn(turn);
  else
    key.ended()->turn = turn;
}

KeyRef KeyWindow::find(std::string_view key) const {
  const auto it = keys_.find(key);
  return it == keys_.end() ? KeyRef() : *it;
}

void KeyWindow::enter(KeyRef key, Duration age, MonoTime now) {
  const bool fresh = keys_.insert(key).second;
  INVARIANT(fresh, "a key is looked up before it is added");
  set_turn(key, static_cast<std::uint32_t>(first_turn_ + ring_.size()));
  ring_.push_back({key, now + (window_ - std::clamp(age, Duration(0), window_))});
  bytes_ += key.key().size();
}

void KeyWindow::add(Entry& message, Duration age, MonoTime now) { enter(KeyRef(message), age, now); }

EndedKey& KeyWindow::add_ended(std::string_view key, MessageId id, Kind kind, WallTime created_at, Duration age,
                               MonoTime now) {
  EndedKey* ended = make_ended(key);
  ended->id = id;
  ended->kind = kind;
  ended->created_at = created_at;
  enter(KeyRef(*ended), age, now);
  return *ended;
}

EndedKey& KeyWindow::end(Entry& message) {
  EndedKey* ended = make_ended(message.key());
  ended->id = message.id;
  ended->kind = message.kind();
  ended->created_at = message.created_at;
  ended->turn = message.key_turn();
  keys_.erase(KeyRef(message));
  message.forget_key();
  keys_.insert(KeyRef(*ended));
  place(ended->turn).key = KeyRef(*ended);
  if (message.ordinal != 0) logged(*ended, message.ordinal);
  return *ended;
}

void KeyWindow::logged(EndedKey& key, wal::Ordinal ordinal) {
  if (key.is_linked()) logged_.erase(logged_.iterator_to(key));
  key.ordinal = ordinal;
  logged_.insert(logged_.end(), key);
}

void KeyWindow::erase(KeyRef key) {
  keys_.erase(key);
  bytes_ -= key.key().size();
  place(turn_of(key)).key = KeyRef();
  drop_empty_front();
  if (Entry* message = key.message(); message != nullptr) return message->forget_key();
  EndedKey* ended = key.ended();
  if (ended->is_linked()) logged_.erase(logged_.iterator_to(*ended));
  free_ended(ended);
}

void KeyWindow::drop_empty_front() {
  for (; !ring_.empty() && !ring_.front().key; ++first_turn_) ring_.pop_front();
}

KeyRef KeyWindow::due(MonoTime now) {
  if (ring_.empty()) return {};
  if (ring_.front().ends <= now) return ring_.front().key;
  if (keys_.size() <= max_) return {};
  ++evicted_;
  return ring_.front().key;
}

MonoTime KeyWindow::next() const {
  if (ring_.empty()) return MonoTime::never();
  return keys_.size() > max_ ? MonoTime{} : ring_.front().ends;  // too many: at once
}

void KeyWindow::sort() {
  std::erase_if(ring_, [](const Turn& turn) { return !turn.key; });
  std::stable_sort(ring_.begin(), ring_.end(), [](const Turn& a, const Turn& b) { return a.ends < b.ends; });
  auto turn = first_turn_;
  for (const Turn& place : ring_) set_turn(place.key, turn++);
}

}  // namespace qh::queue
