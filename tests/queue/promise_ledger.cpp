#include "promise_ledger.h"

#include <cstdlib>

#include <fmt/format.h>

namespace qh::queue {

Message tagged(std::uint64_t tag, std::uint64_t choice, Bytes data) {
  const auto name = std::to_string(tag);
  switch (choice % 4) {
    case 0:
      return Gossip{name, std::move(data)};
    case 1:
      return Telemetry{name, std::move(data)};
    case 2:
      return EntropyShare{name, std::move(data), {}};
    default:
      return Vote{name, {}, std::move(data), {}};
  }
}

std::uint64_t tag_of(const QueuedMessage& queued) {
  const auto message = queued.message();
  const auto name = std::visit(
      [](const auto& m) -> std::string {
        using T = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<T, Gossip>)
          return m.topic;
        else if constexpr (std::is_same_v<T, Telemetry>)
          return m.source;
        else if constexpr (std::is_same_v<T, EntropyShare>)
          return m.device_id;
        else if constexpr (std::is_same_v<T, Vote>)
          return m.validator;
        else
          return "0";
      },
      message);
  return std::stoull(name);
}

void PromiseLedger::watch(std::uint64_t tag, std::string_view what) {
  static const char* watched = std::getenv("QH_WATCH_TAG");
  if (watched == nullptr || std::strtoull(watched, nullptr, 10) != tag) return;
  std::fprintf(stderr, "%s: tag %llu: %.*s\n", now_().c_str(), static_cast<unsigned long long>(tag),
               static_cast<int>(what.size()), what.data());
}

void PromiseLedger::fail(std::string why) {
  if (failure_.empty()) failure_ = now_() + ": " + std::move(why);
}

void PromiseLedger::submit_group(std::vector<std::uint64_t> tags) {
  for (const auto tag : tags) submit(tag);
  groups_.push_back(std::move(tags));
}

void PromiseLedger::may_go(std::uint64_t tag, std::string_view why) {
  watch(tag, why);
  promises_[tag].may_be_gone = true;
}

void PromiseLedger::note_id(std::uint64_t tag, MessageId id) {
  const auto [it, fresh] = ids_.emplace(id, tag);
  if (!fresh && it->second != tag) fail(fmt::format("id {} was given to tags {} and {}", id.value(), it->second, tag));
  promises_[tag].id = id;
}

void PromiseLedger::submitted(std::uint64_t tag, MessageId id, Durability durability) {
  auto& promise = promises_[tag];
  if (promise.id && *promise.id != id) fail(fmt::format("tag {} has two ids", tag));
  note_id(tag, id);
  watch(tag, durability == Durability::kSync ? "submitted, durable" : "submitted, in memory");
  promise.acknowledged = durability == Durability::kSync;
  promise.in_memory = durability == Durability::kAsync;
}

void PromiseLedger::leased(std::uint64_t tag, MessageId id) {
  watch(tag, "leased");
  if (promises_[tag].gone) fail(fmt::format("tag {} was leased after it was over", tag));
  if (promises_[tag].died_of) fail(fmt::format("tag {} was leased after its death", tag));
  note_id(tag, id);
}

void PromiseLedger::taken(const QueuedMessage& message) {
  const auto tag = tag_of(message);
  if (promises_[tag].gone) fail(fmt::format("tag {} was handed out twice", tag));
  if (promises_[tag].died_of) fail(fmt::format("tag {} was taken after its death", tag));
  note_id(tag, message.id);
  gone(tag, "taken");
}

void PromiseLedger::gone(std::uint64_t tag, std::string_view why) {
  watch(tag, why);
  promises_[tag].gone = true;
}

void PromiseLedger::retry(std::optional<std::uint64_t> tag) {
  ++retries_asked_;
  ++retries_open_;
  if (tag) {
    watch(*tag, "retry asked");
    promises_[*tag].died_of.reset();
  } else {
    for (auto& [any, promise] : promises_) promise.died_of.reset();
  }
}

void PromiseLedger::died(std::uint64_t tag, const Moment& asked, std::string error) {
  watch(tag, "died");
  auto& promise = promises_[tag];
  promise.revived.reset();
  if (asked.retries == retries_asked_ && asked.retries_open == 0) promise.died_of = std::move(error);
}

void PromiseLedger::revived(std::uint64_t tag, const Moment& asked) {
  watch(tag, "revived");
  promises_[tag].revived = asked.leases_answered;
}

void PromiseLedger::lose_memory() {
  for (auto& [tag, promise] : promises_) {
    if (promise.in_memory) promise.may_be_gone = true;
  }
}

// A death by deliveries stands in the log whether it was written or not: the count does. One by the wall clock, which
// may jump back, does not.
void PromiseLedger::check_death(const Present& there, Promise& promise) {
  if (promise.died_of && !there.dead)
    fail(fmt::format("tag {} (id {}) is queued, though it died and nobody asked for a retry", there.tag,
                     there.id.value()));
  if (promise.revived && there.dead && leases_asked_ - *promise.revived < max_deliveries_)
    fail(fmt::format("tag {} (id {}) is dead, though its retry was acknowledged", there.tag, there.id.value()));
  const bool says = promise.died_of && !promise.died_of->empty();
  if (says && there.dead && *promise.died_of != there.last_error)
    fail(fmt::format("tag {} (id {}) died of '{}', and now it says '{}'", there.tag, there.id.value(), *promise.died_of,
                     there.last_error));
  promise.died_of.reset();
  if (there.dead == DeadReason::kMaxDeliveries) promise.died_of = there.last_error;
  promise.revived.reset();
}

void PromiseLedger::look(const std::vector<Present>& present) {
  std::map<std::uint64_t, MessageId> found;
  for (const auto& there : present) {
    const auto tag = there.tag;
    const auto id = there.id;
    if (!found.emplace(tag, id).second) fail(fmt::format("tag {} is there twice", tag));
    const auto it = promises_.find(tag);
    if (it == promises_.end()) return fail(fmt::format("tag {} was never submitted", tag));
    if (it->second.gone) {
      fail(fmt::format("tag {} (id {}) is back, though its end was acknowledged", tag, id.value()));
    }
    note_id(tag, id);
    watch(tag, there.dead ? "dead after the start" : "present after the start");
    check_death(there, it->second);
    // What is on disk now stays, whoever was told.
    it->second.acknowledged = true;
    it->second.in_memory = false;
    it->second.may_be_gone = false;
  }
  for (auto& [tag, promise] : promises_) {
    if (found.contains(tag) || promise.gone) continue;
    if (promise.acknowledged && !promise.may_be_gone && --open_takes_ < 0) {
      fail(fmt::format("tag {} (id {}) is lost", tag, promise.id ? promise.id->value() : 0));
    }
    promise.gone = true;  // settled: it must not come back
  }
  open_takes_ = 0;
  retries_open_ = 0;
  leases_answered_ = leases_asked_;
  check_groups();
}

void PromiseLedger::check_groups() {
  for (const auto& group : groups_) {
    std::size_t settled = 0;
    for (const auto tag : group) settled += promises_[tag].id.has_value();
    if (settled != 0 && settled != group.size()) fail(fmt::format("a batch of {} was kept in part", group.size()));
  }
  groups_.clear();
}

void PromiseLedger::all_gone() {
  for (const auto& [tag, promise] : promises_) {
    if (promise.acknowledged && !promise.gone) return fail(fmt::format("tag {} was never handed out", tag));
  }
}

}  // namespace qh::queue
