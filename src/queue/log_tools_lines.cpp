#include "queue/log_tools_lines.h"

#include <fmt/format.h>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "queue/json_text.h"

namespace qh::queue {
namespace {

namespace json = boost::json;

tl::unexpected<Error> bad(std::uint64_t number, std::string_view field, std::string_view why) {
  return fail(Error(Errc::kInvalid, fmt::format("line {}: {}{}{}", number, field, field.empty() ? "" : ": ", why))
                  .about(field));
}

/// Absent or null is none.
Result<void> read_time(const json::object& line, std::string_view field, std::optional<WallTime>& out,
                       std::uint64_t number) {
  const auto* given = line.if_contains(field);
  if (given == nullptr || given->is_null()) return {};
  const auto ms = integer_from_json(*given);
  if (!ms || *ms > INT64_MAX / 1'000'000)
    return bad(number, field, "expected Unix milliseconds, got " + describe_json(*given));
  out = WallTime::from_ms(static_cast<std::int64_t>(*ms));
  return {};
}

}  // namespace

std::string export_line(const Found& found, const DeadLetter* dead) {
  auto line = queued_to_json(*found.message).get_object();
  line["state"] = message_state_name(found.state);
  if (found.ready_at) line["not_before_ms"] = found.ready_at->ms();
  if (found.expires_at) line["expires_at_ms"] = found.expires_at->ms();
  if (dead != nullptr) {
    line["dead_letter"] = json::object{{"reason", dead_reason_name(dead->reason)},
                                       {"died_at_ms", dead->died_at.ms()},
                                       {"last_error", dead->last_error}};
  }
  return write_json(line);
}

Result<ImportLine> import_line(std::string_view text, std::uint64_t number) {
  auto parsed = parse_json(text);
  if (!parsed) return bad(number, parsed.error().subject, parsed.error().context);
  ImportLine line;
  line.number = number;
  if (auto* object = parsed->if_object()) {
    if (const auto* state = object->if_contains("state"); state != nullptr && !state->is_string()) {
      return bad(number, "state", "expected a string, got " + describe_json(*state));
    }
    if (auto read = read_time(*object, "not_before_ms", line.not_before, number); !read) return fail(read.error());
    if (auto read = read_time(*object, "expires_at_ms", line.expires_at, number); !read) return fail(read.error());
    if (const auto* dead = object->if_contains("dead_letter"); dead != nullptr && !dead->is_null()) {
      if (!dead->is_object()) return bad(number, "dead_letter", "expected an object, got " + describe_json(*dead));
      line.dead_letter = true;
    }
    for (const auto* extra : {"state", "not_before_ms", "expires_at_ms", "dead_letter"}) object->erase(extra);
  }
  auto message = exported_from_json(*parsed);
  if (!message) return bad(number, message.error().subject, message.error().context);
  line.message = std::move(*message);
  return line;
}

}  // namespace qh::queue
