#include "rpc/schemas.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "base/invariant.h"
#include "queue/json_text.h"
#include "queue/message_json.h"

namespace qh::rpc {
namespace {

namespace json = boost::json;

struct Named {
  std::string_view name;
  std::string_view note;
};

constexpr std::array kNamed{
    Named{"Id", R"({"=":{"type":"integer","minimum":1,"maximum":9007199254740991}})"},
    Named{"Count", R"({"=":{"type":"integer","minimum":0,"maximum":9007199254740991}})"},
    Named{"Figure", R"({"=":{"type":"number","minimum":0}})"},
    Named{"UnixS", R"({"=":{"type":"integer","description":"seconds since 1970"}})"},
    Named{"UnixMs", R"({"=":{"type":"integer","description":"milliseconds since 1970"}})"},
    Named{"Rfc3339", R"({"=":{"type":"string","pattern":"^[0-9-]+T[0-9:.]+Z$"}})"},
    Named{"Priority", R"({"=":{"type":"string","enum":["Critical","High","Normal","Low"]}})"},
    Named{"Digest", R"({"=":{"type":"string","pattern":"^0x[0-9a-f]{64}$"}})"},
    Named{"Submitted", R"({"message_id":"Id","priority":"Priority","persisted":"boolean","duplicate":"boolean"})"},
    Named{"SubmittedBatch", R"({"message_ids":["Id"]})"},
    Named{"QueuedMessage", R"({"message":"Message","message_id":"Id","created_at":"UnixS","submitted_by":"string",
        "persisted":"boolean","broadcast":"boolean","created_at_ms":"UnixMs","priority":"Priority",
        "deliveries":"Count","digest":"Digest"})"},
    Named{"LeasedMessage", R"({"lease":"Id","deadline_ms":"UnixMs","...":"QueuedMessage"})"},
    Named{"LeaseOutcome", R"({"done":"Count","lost":["Id"]})"},
    Named{"FoundMessage", R"({"state":{"=":{"type":"string","enum":["ready","delayed","leased","dead","gone"]}},
        "ready_at_ms?":"UnixMs","lease_until_ms?":"UnixMs","...?":"QueuedMessage"})"},
    Named{"DeadLetter", R"({"...":"QueuedMessage","reason":{"=":{"type":"string","enum":["expired","max_deliveries"]}},
        "died_at_ms":"UnixMs","last_error":"string"})"},
    Named{"DeadPosition", R"({"died_at_ms":"UnixMs","message_id":"Id"})"},
    Named{"Depth", R"({"total":"Count","by_kind":{"*":{"ready":"Count","delayed":"Count","leased":"Count",
        "total":"Count"}}})"},
    Named{"Latency", R"({"count":"Count","mean_ms":"Figure","p50_ms":"Figure","p99_ms":"Figure","p999_ms":"Figure",
        "max_ms":"Figure"})"},
    Named{"HealthPart", R"({"name":"string","value":"number","good":"number","bad":"number","points_lost":"Figure",
        "points_max":"Figure"})"},
    Named{"Metrics", R"({"queue_depth":"Count","msg_rate":"Count","latency":"Figure",
        "health":{"=":{"type":"number","minimum":0,"maximum":100}},"total_processed":"Count","uptime":"Figure",
        "last_message_time":"Rfc3339|null","queue_bytes":"Count","ready":"Count","delayed":"Count","leases_out":"Count",
        "waiters":"Count","depth_by_kind":{"*":"Count"},"depth_by_priority":{"*":"Count"},"paused":["Kind"],
        "oldest_ready_s":"Figure|null","dead_letters":"Count","dead_letter_bytes":"Count","idempotency_keys":"Count",
        "rates":{"submits_per_s":"Figure","submits_sync_per_s":"Figure","submits_async_per_s":"Figure",
          "hand_outs_per_s":"Figure","hand_outs_sync_per_s":"Figure","hand_outs_async_per_s":"Figure"},
        "submit_latency":"Latency","fsync_latency":"Latency",
        "batch_records":{"mean":"Figure","p50":"Figure","p99":"Figure","max":"Figure"},
        "counters":{"submitted_sync":"Count","submitted_async":"Count","taken":"Count","leased":"Count","acked":"Count",
          "nacked":"Count","expired_leases":"Count","dead_lettered":"Count","dead_retried":"Count",
          "dead_evicted":"Count","removed":"Count","duplicates":"Count"},
        "refusals":{"total":"Count","QueueFull":"Count","RateLimited":"Count","StorageFull":"Count",
          "StorageFailed":"Count","TooLarge":"Count","Invalid":"Count","ShuttingDown":"Count"},
        "wal":{"bytes":"Count","live_bytes":"Count","segments":"Count","batches":"Count","syncs":"Count",
          "compactions":"Count","recycles":"Count","torn_bytes":"Count","appended_seq":"Count","durable_seq":"Count"},
        "storage_full":"boolean","cannot_grow":"string|null","failure":"string|null","health_parts":["HealthPart"]})"},
    Named{"ValidatorStatus", R"({"name":"string","port":{"=":{"type":"integer","minimum":0,"maximum":65535}},
        "binary_port":{"=":{"type":["integer","null"],"minimum":1,"maximum":65535}},
        "state":{"=":{"type":"string",
          "enum":["starting","running","restarting","failed","stopping","stopped"]}},
        "restarts":"Count","error":"string|null"})"},
};
constexpr std::array<std::string_view, 5> kTypes{"boolean", "string", "number", "integer", "null"};

std::string_view note_named(std::string_view name) {
  for (const auto& known : kNamed) {
    if (known.name == name) return known.note;
  }
  return {};
}

json::object schema(const json::value& note);

json::object schema_of_word(std::string_view word) {
  if (word.ends_with("|null")) {
    return {{"anyOf", json::array{schema_of_word(word.substr(0, word.find('|'))), json::object{{"type", "null"}}}}};
  }
  if (std::find(kTypes.begin(), kTypes.end(), word) != kTypes.end()) return {{"type", word}};
  INVARIANT(word == "Message" || word == "Kind" || !note_named(word).empty(), "a note names what is not in the list");
  return {{"$ref", "#/components/schemas/" + std::string(word)}};
}

struct Members {
  json::object properties;
  json::array required;

  void add(const json::object& note, bool all_may_be_missing) {
    for (const auto& member : note) {
      std::string_view name = member.key();
      const bool may_be_missing = name.ends_with('?');
      if (may_be_missing) name.remove_suffix(1);
      if (name == "...") {
        const auto other = queue::parse_json(note_named(member.value().get_string())).value();
        add(other.get_object(), may_be_missing);
        continue;
      }
      properties.emplace(name, schema(member.value()));
      if (!may_be_missing && !all_may_be_missing) required.emplace_back(name);
    }
  }
};

json::object schema(const json::value& note) {
  if (note.is_string()) return schema_of_word(note.get_string());
  if (note.is_array()) return {{"type", "array"}, {"items", schema(note.get_array().at(0))}};
  const auto& object = note.get_object();
  if (const auto* as_it_is = object.if_contains("=")) return as_it_is->get_object();
  if (const auto* each = object.if_contains("*")) return {{"type", "object"}, {"additionalProperties", schema(*each)}};
  Members members;
  members.add(object, false);
  return {{"type", "object"}, {"properties", std::move(members.properties)}, {"required", std::move(members.required)}};
}

}  // namespace

json::object schema_of_note(std::string_view note) { return schema(queue::parse_json(note).value()); }

json::object named_schemas() {
  json::array kinds;
  for (const auto& kind : queue::kinds()) kinds.emplace_back(kind.name);
  json::object all{{"Message", queue::message_schema()},
                   {"Kind", json::object{{"type", "string"}, {"enum", std::move(kinds)}}}};
  for (const auto& known : kNamed) all.emplace(known.name, schema_of_note(known.note));
  return all;
}

}  // namespace qh::rpc
