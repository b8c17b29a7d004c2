#include "queue/store.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "base/invariant.h"

namespace qh::queue {

std::uint32_t Names::add(std::string_view name) {
  if (last_ < names_.size() && names_[last_].uses > 0 && names_[last_].text == name) {
    ++names_[last_].uses;
    return last_;
  }
  const auto [it, fresh] = index_.try_emplace(std::string(name), 0);
  if (fresh) {
    if (free_.empty()) {
      it->second = static_cast<std::uint32_t>(names_.size());
      names_.push_back({});
    } else {
      it->second = free_.back();
      free_.pop_back();
    }
    names_[it->second].text = it->first;
  }
  last_ = it->second;
  ++names_[last_].uses;
  return last_;
}

void Names::release(std::uint32_t index) {
  if (--names_[index].uses > 0) return;
  index_.erase(names_[index].text);
  free_.push_back(index);
}

Store::~Store() {
  logged_.clear();
  for (Entry* entry = by_id_.first(); entry != nullptr; entry = by_id_.first()) {
    by_id_.erase(entry->id);
    Entry::destroy(entry);
  }
}

namespace {
constexpr std::size_t kKeyHeadBytes = sizeof(std::uint32_t) + 1;
}  // namespace

Entry* Entry::make(ByteView body, std::string_view key) {
  const auto key_part = key.empty() ? 0 : kKeyHeadBytes + key.size();
  auto* entry = new (::operator new(sizeof(Entry) + body.size() + key_part)) Entry;
  std::memcpy(reinterpret_cast<std::byte*>(entry + 1), body.data(), body.size());
  entry->body_bytes = static_cast<std::uint32_t>(body.size());
  if (key.empty()) return entry;
  entry->has_key = true;
  auto* head = entry->behind_body();
  head[sizeof(std::uint32_t)] = static_cast<std::byte>(key.size());
  std::memcpy(head + kKeyHeadBytes, key.data(), key.size());
  return entry;
}

std::string_view Entry::key() const {
  if (!has_key) return {};
  const auto* head = behind_body();
  return {reinterpret_cast<const char*>(head + kKeyHeadBytes), static_cast<std::size_t>(head[sizeof(std::uint32_t)])};
}

std::uint32_t Entry::key_turn() const {
  std::uint32_t turn = 0;
  std::memcpy(&turn, behind_body(), sizeof turn);
  return turn;
}

void Entry::set_key_turn(std::uint32_t turn) { std::memcpy(behind_body(), &turn, sizeof turn); }

void Entry::destroy(Entry* entry) {
  entry->~Entry();
  ::operator delete(entry);
}

Body Entry::release_body(Entry* entry) {
  const auto bytes = entry->body_bytes;
  entry->~Entry();
  return {reinterpret_cast<std::byte*>(entry), sizeof(Entry), bytes};
}

Entry& Store::add(MessageId id, ByteView body, std::string_view key, WallTime created_at,
                  std::string_view submitted_by) {
  auto* entry = Entry::make(body, key);
  entry->id = id;
  entry->created_at = created_at;
  entry->submitter = names_.add(submitted_by);
  const bool fresh = by_id_.insert(id, *entry);
  INVARIANT(fresh, "an id is given once");
  bytes_ += entry->body_bytes;
  ++pending_;
  return *entry;
}

void Store::erase(Entry& entry) {
  detach(entry);
  Entry::destroy(&entry);
}

void Store::detach(Entry& entry) {
  INVARIANT(entry.key().empty(), "a key is told that its message ends");
  leave(entry);
  if (static_cast<LogHook&>(entry).is_linked()) logged_.erase(logged_.iterator_to(entry));
  bytes_ -= entry.body_bytes;
  names_.release(entry.submitter);
  by_id_.erase(entry.id);
}

Entry* Store::find(MessageId id) const { return by_id_.find(id); }

Entry* Store::find(LeaseId lease) const {
  const auto it = leases_.find(lease.value());
  return it == leases_.end() ? nullptr : it->second;
}

namespace {
DeadPosition death_of(const Entry& entry) { return {entry.extra->died_at_ms, entry.id}; }

/// Takes go through memory in the order of the queue: the next body comes while this one is answered.
void prefetch(const Entry& entry) {
  constexpr std::size_t kLine = 64, kLines = 6;
  for (std::size_t i = 0; i < kLines; ++i) __builtin_prefetch(reinterpret_cast<const std::byte*>(&entry) + i * kLine);
}
}  // namespace

// Out of whatever the state put it into; what follows puts it into the next one. The body counts as the
// queue's bytes in every state but kDead.
void Store::leave(Entry& entry) {
  mono_.remove(entry);
  wall_.remove(entry);
  switch (entry.state) {
    case EntryState::kPending:
      --pending_;
      break;
    case EntryState::kReady: {
      auto& queue = ready_[static_cast<std::size_t>(entry.kind())];
      queue.erase(entry.id);
      if (const Entry* next = queue.first())
        prefetch(*next);
      else
        ready_kinds_ = ready_kinds_.without(KindMask::of(entry.kind()));
      --part(entry).ready;
      break;
    }
    case EntryState::kDelayed:
      --part(entry).delayed;
      break;
    case EntryState::kLeased:
      leases_.erase(entry.extra->lease.value());
      entry.extra->held = false;
      --part(entry).leased;
      break;
    case EntryState::kDead:
      dead_.erase(death_of(entry));
      dead_bytes_ -= entry.body_bytes;
      bytes_ += entry.body_bytes;
      break;
  }
  entry.not_before_ms = 0;
}

void Store::make_ready(Entry& entry) {
  leave(entry);
  entry.state = EntryState::kReady;
  auto& queue = ready_[static_cast<std::size_t>(entry.kind())];
  queue.insert(entry.id, entry);
  ready_kinds_ = ready_kinds_ | KindMask::of(entry.kind());
  ++part(entry).ready;
  watch_wall(entry);
}

void Store::delay_until(Entry& entry, WallTime until) {
  leave(entry);
  entry.state = EntryState::kDelayed;
  entry.not_before_ms = until.ms();
  ++part(entry).delayed;
  watch_wall(entry);
}

void Store::delay_for(Entry& entry, MonoTime until, WallTime until_wall) {
  leave(entry);
  entry.state = EntryState::kDelayed;
  entry.not_before_ms = until_wall.ms();
  ++part(entry).delayed;
  mono_.set(entry, until.ns);
  watch_wall(entry);
}

void Store::make_leased(Entry& entry, LeaseId lease) {
  leave(entry);
  entry.state = EntryState::kLeased;
  entry.more().lease = lease;
  leases_.emplace(lease.value(), &entry);
  ++part(entry).leased;
}

void Store::set_lease_deadline(Entry& entry, MonoTime deadline) { mono_.set(entry, deadline.ns); }

void Store::hold(Entry& entry) {
  mono_.remove(entry);
  entry.extra->held = true;
}

void Store::make_dead(Entry& entry, DeadReason reason, WallTime at) {
  leave(entry);
  entry.state = EntryState::kDead;
  entry.more().reason = reason;
  entry.extra->died_at_ms = at.ms();
  dead_.emplace(death_of(entry), &entry);
  dead_bytes_ += entry.body_bytes;
  bytes_ -= entry.body_bytes;
}

// A leased message expires only once it is back; a dead one never.
void Store::watch_wall(Entry& entry) {
  std::int64_t at_ms = INT64_MAX;
  if (entry.expires_at_ms != 0) at_ms = entry.expires_at_ms;
  const bool by_wall = entry.state == EntryState::kDelayed && !mono_.contains(entry);
  if (by_wall) at_ms = std::min(at_ms, entry.not_before_ms);
  if (at_ms == INT64_MAX) return;
  wall_.set(entry, WallTime::from_ms(at_ms).ns);
}

Entry* Store::due_mono(MonoTime now) {
  if (mono_.next_ns() > now.ns) return nullptr;
  Entry* entry = mono_.front();
  mono_.remove(*entry);
  return entry;
}

Entry* Store::due_wall(WallTime now) {
  if (wall_.next_ns() > now.ns) return nullptr;
  Entry* entry = wall_.front();
  wall_.remove(*entry);
  return entry;
}

std::optional<MonoTime> Store::mono_deadline(const Entry& entry) const {
  if (!mono_.contains(entry)) return std::nullopt;
  return MonoTime{mono_.at_ns(entry)};
}

Entry* Store::first(KindMask mask) const {
  const auto ready = (mask & ready_kinds_).bits();
  Entry* best = nullptr;
  for (unsigned bits = ready; bits != 0; bits &= bits - 1) {
    Entry* head = oldest_ready(static_cast<Kind>(std::countr_zero(bits)));
    if (best == nullptr || head->id < best->id) best = head;
  }
  return best;
}

void Store::logged(Entry& entry, wal::Ordinal ordinal) {
  if (static_cast<LogHook&>(entry).is_linked()) logged_.erase(logged_.iterator_to(entry));
  entry.ordinal = ordinal;
  logged_.push_back(entry);
}

QueuedMessage Store::provenance(const Entry& entry) const {
  QueuedMessage message;
  message.id = entry.id;
  message.created_at = entry.created_at;
  message.submitted_by = submitter(entry);
  message.persisted = entry.ordinal != 0;
  message.deliveries = entry.deliveries;
  return message;
}

QueuedMessage Store::describe(const Entry& entry) const {
  QueuedMessage message = provenance(entry);
  message.body = Body(entry.body());
  return message;
}

QueuedMessage Store::extract(Entry& entry) {
  QueuedMessage message = provenance(entry);
  detach(entry);
  message.body = Entry::release_body(&entry);
  return message;
}

}  // namespace qh::queue
