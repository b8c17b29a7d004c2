// Looking, without taking.
#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "queue/message_json.h"
#include "rpc/handlers.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;
using queue::MessageId;
using queue::Priority;
using Position = std::pair<Priority, MessageId>;

constexpr std::uint64_t kPeekDefault = 10;
constexpr std::uint64_t kListDefault = 100;

std::optional<Priority> priority_named(std::string_view name) {
  for (const auto& kind : queue::kinds()) {
    if (queue::priority_name(kind.priority) == name) return kind.priority;
  }
  return std::nullopt;
}

/// Where a peek goes on. An id alone has a place only while its message is there.
tl::expected<std::optional<Position>, Failure> position_of(const Call& call) {
  const auto* after = call.arguments.json("after");
  if (after == nullptr) return std::nullopt;
  if (after->is_object()) {
    const auto& object = after->get_object();
    const auto priority = priority_named(object.at("priority").get_string());
    if (!priority) return tl::unexpected(bad_parameter("after.priority", "expected Critical, High, Normal or Low"));
    return Position{*priority, MessageId{*queue::integer_from_json(object.at("message_id"))}};
  }
  const MessageId id{*queue::integer_from_json(*after)};
  const auto found = call.engine().find(id);
  if (found.message) return Position{found.message->priority(), id};
  return tl::unexpected(Failure(Code::kNotFound, "message " + std::to_string(id.value()) +
                                                     " is gone; give after as {\"priority\", \"message_id\"}"));
}

void add_all(json::object& into, json::value from) {
  for (auto& member : from.get_object()) into.emplace(member.key(), std::move(member.value()));
}

json::value dead_letter_json(const queue::DeadLetter& dead) {
  json::object out;
  add_all(out, queue::queued_to_json(dead.message));
  out.emplace("reason", queue::dead_reason_name(dead.reason));
  out.emplace("died_at_ms", dead.died_at.ms());
  out.emplace("last_error", dead.last_error);
  return out;
}

json::value depth_by_kind(const queue::Depth& depth) {
  json::object kinds;
  for (const auto& kind : queue::kinds()) {
    const auto& part = depth.by_kind[static_cast<std::size_t>(kind.kind)];
    kinds.emplace(kind.name, json::object{{"ready", integer_json(part.ready)},
                                          {"delayed", integer_json(part.delayed)},
                                          {"leased", integer_json(part.leased)},
                                          {"total", integer_json(part.total())}});
  }
  return json::object{{"total", integer_json(depth.total())}, {"by_kind", std::move(kinds)}};
}

}  // namespace

json::array kinds_json(queue::KindMask kinds) {
  json::array names;
  for (const auto& kind : queue::kinds()) {
    if (kinds.has(kind.kind)) names.emplace_back(kind.name);
  }
  return names;
}

std::uint64_t answer_body_bytes(const Call& call) { return call.engine().options().max_batch_bytes; }

std::vector<queue::QueuedMessage> peek_within(const queue::Engine& engine, std::size_t count, std::uint64_t body_bytes,
                                              queue::KindMask kinds, std::optional<Position> after) {
  constexpr std::size_t kPage = 8;  // the engine copies bodies, so never many at once
  std::vector<queue::QueuedMessage> all;
  std::uint64_t bytes = 0;
  while (all.size() < count) {
    const auto wanted = std::min(kPage, count - all.size());
    auto page = engine.peek(wanted, kinds, after);
    for (auto& message : page) {
      bytes += message.body.size();
      if (bytes > body_bytes && !all.empty()) return all;
      after = Position{message.priority(), message.id};
      all.push_back(std::move(message));
    }
    if (page.size() < wanted) break;
  }
  return all;
}

void peek(Call& call) {
  const auto after = position_of(call);
  if (!after) return call.answer.fail(after.error());
  json::array all;
  for (const auto& message : peek_within(call.engine(), call.arguments.integer_or("count", kPeekDefault),
                                         answer_body_bytes(call), call.arguments.kinds(), *after)) {
    all.push_back(queue::queued_to_json(message));
  }
  call.answer.ok(std::move(all));
}

void find(Call& call) {
  const auto found = call.engine().find(MessageId{*call.arguments.integer("message_id")});
  json::object out;
  out.emplace("state", queue::message_state_name(found.state));
  if (found.ready_at) out.emplace("ready_at_ms", found.ready_at->ms());
  if (found.lease_until) out.emplace("lease_until_ms", found.lease_until->ms());
  if (found.message) add_all(out, queue::queued_to_json(*found.message));
  call.answer.ok(std::move(out));
}

void get_queue_depth(Call& call) {
  const auto depth = call.engine().depth();
  call.answer.ok(call.arguments.flag("by_kind") ? depth_by_kind(depth) : integer_json(depth.total()));
}

void get_metrics(Call& call) { call.answer.ok(metrics_json(call.engine().metrics())); }

void get_validator_name(Call& call) { call.answer.ok(json::value(call.services.validator)); }

void list_dead_letters(Call& call) {
  std::optional<queue::DeadPosition> after;
  if (const auto* cursor = call.arguments.json("after")) {
    const auto& object = cursor->get_object();
    after = {static_cast<std::int64_t>(*queue::integer_from_json(object.at("died_at_ms"))),
             MessageId{*queue::integer_from_json(object.at("message_id"))}};
  }
  const auto limit = call.arguments.integer_or("limit", kListDefault);
  constexpr std::uint64_t kPage = 8;
  json::array items;
  std::uint64_t bytes = 0;
  bool more = true, full = false;
  while (more && !full) {
    const auto wanted = std::min(kPage, limit - items.size());
    const auto page = call.engine().dead_letters(after, wanted);
    for (const auto& letter : page) {
      bytes += letter.message.body.size();
      full = bytes > answer_body_bytes(call) && !items.empty();
      if (full) break;
      items.push_back(dead_letter_json(letter));
      after = {letter.died_at.ms(), letter.message.id};
    }
    more = page.size() == wanted;
    full = full || items.size() == limit;
  }
  json::value next = nullptr;
  if (full) next = json::object{{"died_at_ms", after->first}, {"message_id", integer_json(after->second.value())}};
  call.answer.ok(json::object{{"items", std::move(items)}, {"next", std::move(next)}});
}

}  // namespace qh::rpc
