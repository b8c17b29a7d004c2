// wal dump: what stands in the files, a line each.
#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/codec.h"
#include "base/storage_await.h"
#include "queue/json_text.h"
#include "queue/log_records.h"
#include "queue/log_scan.h"
#include "queue/log_tools.h"

namespace qh::queue {
namespace {

namespace json = boost::json;
using wal::RecordType;

json::value number(std::uint64_t value) { return static_cast<std::int64_t>(std::min<std::uint64_t>(value, INT64_MAX)); }
std::string hex64(std::uint64_t value) { return fmt::format("{:016x}", value); }

std::string line_of(const json::object& line, bool as_json) {
  if (as_json) return write_json(line);
  std::string text;
  for (const auto& member : line) {
    if (!text.empty()) text += ' ';
    const bool bare =
        member.value().is_string() && member.value().get_string().find_first_of(" \"\\=") == json::string::npos;
    const std::string value =
        bare ? std::string(std::string_view(member.value().get_string())) : write_json(member.value());
    text += fmt::format("{}={}", std::string_view(member.key()), value.empty() ? "\"\"" : value);
  }
  return text;
}

void add_state(const wal::QueueState& state, json::object& line) {
  line["next_message_id"] = number(state.next_message_id);
  line["next_lease_id"] = number(state.next_lease_id);
  line["head_segment"] = number(state.head_segment);
  line["paused_kinds"] = number(state.paused_kinds);
}

void add_put(ByteView payload, json::object& line) {
  const auto put = wal::decode_put(payload);
  if (!put) return void(line["unreadable"] = true);
  line["id"] = number(put->id.value());
  line["kind"] = info(*kind_of_body(put->body)).name;
  line["body_bytes"] = number(put->body.size());
  line["created_at_ms"] = put->created_at.ms();
  line["submitted_by"] = put->submitted_by;
  line["deliveries"] = number(put->deliveries);
  if (put->carried) line["carried"] = true;
  if (!put->key.empty()) line["key"] = put->key;
  if (put->group_left != 0) line["group_left"] = number(put->group_left);
  if (put->not_before_ms != 0) line["not_before_ms"] = put->not_before_ms;
  if (put->expires_at_ms != 0) line["expires_at_ms"] = put->expires_at_ms;
  if (put->death) line["dead"] = dead_reason_name(put->death->reason);
  if (!put->last_error.empty()) line["error"] = put->last_error;
}

void add_change(const wal::RecordView& record, json::object& line) {
  const auto payload = record.payload;
  if (const auto lease = wal::decode_lease(payload); record.type == RecordType::kLease && lease) {
    line["id"] = number(lease->id.value());
    line["lease"] = number(lease->lease.value());
    line["deliveries"] = number(lease->deliveries);
  } else if (const auto nack = wal::decode_nack(payload); record.type == RecordType::kNack && nack) {
    line["id"] = number(nack->id.value());
    line["deliveries"] = number(nack->deliveries);
    line["ready_at_ms"] = nack->ready_at_ms;
    line["error"] = nack->error;
  } else if (const auto back = wal::decode_return(payload); record.type == RecordType::kReturn && back) {
    line["id"] = number(back->id.value());
    line["deliveries"] = number(back->deliveries);
  } else if (const auto dead = wal::decode_dead(payload); record.type == RecordType::kDead && dead) {
    line["id"] = number(dead->id.value());
    line["reason"] = dead_reason_name(dead->reason);
    line["at_ms"] = dead->at_ms;
    line["error"] = dead->error;
  } else if (const auto key = wal::decode_key(payload); record.type == RecordType::kKey && key) {
    line["id"] = number(key->id.value());
    line["kind"] = info(key->kind).name;
    line["key"] = key->key;
  } else if (const auto id = wal::decode_id(payload); id) {
    line["id"] = number(id->value());
  } else {
    line["unreadable"] = true;
  }
}

json::object describe(std::uint64_t segment, const wal::RecordView& record, std::uint64_t offset) {
  json::object line{{"segment", number(segment)},
                    {"offset", number(offset)},
                    {"seq", number(record.seq)},
                    {"type", wal::record_type_name(record.type)},
                    {"bytes", number(record.bytes)}};
  ByteReader in(record.payload);
  switch (record.type) {
    case RecordType::kBatch:
      in.get_raw(16);
      line["batch_bytes"] = number(in.get<std::uint32_t>());
      line["records"] = number(in.get<std::uint32_t>());
      line["durable_seq"] = number(in.get<std::uint64_t>());
      break;
    case RecordType::kMark:
      break;
    case RecordType::kSeal:
      line["next_segment"] = number(in.get<std::uint64_t>());
      line["next_life"] = hex64(in.get<std::uint64_t>());
      break;
    case RecordType::kPut:
      add_put(record.payload, line);
      break;
    case RecordType::kState:
      if (const auto state = wal::decode_state(record.payload))
        add_state(*state, line);
      else
        line["unreadable"] = true;
      break;
    default:
      add_change(record, line);
  }
  return line;
}

json::object describe(const wal::SegmentHeader& header, std::string_view file) {
  json::object line{{"file", file},
                    {"type", "header"},
                    {"segment", number(header.index)},
                    {"bytes", number(header.bytes)},
                    {"life", hex64(header.life)},
                    {"first_seq", number(header.first_seq)},
                    {"durable_seq", number(header.durable_seq)},
                    {"queue", header.queue_name},
                    {"queue_id", to_hex(header.queue_id)},
                    {"created_at_ms", header.created_at.ms()}};
  add_state(header.state, line);
  return line;
}

/// The lines of one segment's bytes.
std::uint64_t dump_segment(ByteView file, const std::string& name, bool as_json, LogTool::Sink& sink) {
  const auto say = [&](const json::object& line) { sink(line_of(line, as_json)); };
  const auto header = wal::decode_header(file);
  if (!header) return say({{"file", name}, {"type", "damage"}, {"offset", 0}, {"why", header.error().context}}), 0;
  if (!*header) return say({{"file", name}, {"type", "prepared"}, {"bytes", number(file.size())}}), 0;
  const auto& h = **header;
  if (wal::segment_name(h.index) != name) {
    return say({{"file", name},
                {"type", "prepared"},
                {"bytes", number(file.size())},
                {"recycled_from", number(h.index)}}),
           0;
  }
  say(describe(h, name));
  std::uint64_t records = 0;
  wal::RecordVisitor visit = [&](const wal::RecordView& record, std::uint64_t offset) {
    if (record.type != RecordType::kBatch) ++records;
    say(describe(h.index, record, offset));
  };
  auto end = wal::scan_segment(file, h.life, wal::kBlockBytes, h.first_seq, visit);
  while (!end.fault.empty()) {
    say({{"file", name}, {"type", "fault"}, {"offset", number(end.offset)}, {"why", end.fault}});
    if (!end.resume_offset) break;
    end = wal::scan_segment(file, h.life, *end.resume_offset, end.resume_seq, visit);
  }
  return records;
}

void dump_block_file(ByteView file, const std::string& name, bool as_json, LogTool::Sink& sink) {
  const auto say = [&](const json::object& line) { sink(line_of(line, as_json)); };
  if (name == wal::kIdentityName) {
    const auto identity = wal::decode_identity(file);
    if (!identity) return say({{"file", name}, {"type", "damage"}, {"offset", 0}, {"why", identity.error().context}});
    return say({{"file", name},
                {"type", "identity"},
                {"queue", identity->queue_name},
                {"queue_id", to_hex(identity->queue_id)}});
  }
  for (std::size_t at = 0; at + wal::kBlockBytes <= file.size(); at += wal::kBlockBytes) {
    const auto mark = wal::decode_mark(file.subspan(at));
    if (!mark) continue;
    say({{"file", name},
         {"type", "mark"},
         {"turn", number(mark->turn)},
         {"durable_seq", number(mark->durable_seq)},
         {"segment", number(mark->segment)}});
  }
}

/// What a file is that has no place in the log, by its name (docs/formats/wal.md).
std::string_view purpose_of(std::string_view name) {
  const auto is_own = [](std::string_view n) { return n == wal::kIdentityName || wal::segment_index(n); };
  const auto ends = [&](std::string_view suffix) { return name.ends_with(suffix); };
  const auto without = [&](std::string_view suffix) { return name.substr(0, name.size() - suffix.size()); };
  if (name == "LOCK") return "held by the owner";
  if (ends(".new") && is_own(without(".new"))) return "being made";
  if (ends(wal::kRemovingSuffix) && is_own(without(wal::kRemovingSuffix))) return "being removed";
  for (const auto& [suffix, what] :
       {std::pair(".torn", "a torn tail that a start cut off"), std::pair(".damaged", "set aside by a repair"),
        std::pair(".unknown", "set aside: not part of this log")}) {
    if (name.find(suffix) != name.npos) return what;
  }
  return "not this queue's";
}

Task<Result<std::size_t>> read_file(Storage& storage, std::string name, std::span<std::byte> into) {
  auto file = co_await io::open(storage, std::move(name), Storage::OpenMode::kRead);
  if (!file) co_return fail(std::move(file.error()));
  auto got = co_await io::read(storage, *file, 0, into, Storage::ReadPath::kCached);
  storage.close(*file);
  co_return got;
}

}  // namespace

// A segment is printed once its header was the same before and behind the reading of it; one that was recycled
// meanwhile is passed over, as nothing in it is needed any more.
Task<Result<std::uint64_t>> LogTool::dump(bool as_json, Sink sink) {
  std::uint64_t records = 0, printed = 0;
  bool any = false, moved = true;
  const auto deadline = clock_.mono() + patience_;
  AlignedBuffer buffer;
  AlignedBuffer again(wal::kBlockBytes);
  std::vector<Storage::Entry> others;
  while (moved) {
    moved = false;
    auto entries = co_await io::list(storage_);
    if (!entries) co_return fail(std::move(entries.error()));
    others.clear();
    std::sort(entries->begin(), entries->end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (const auto& entry : *entries) {
      const auto index = wal::segment_index(entry.name);
      const bool block = entry.name == wal::kIdentityName || entry.name == wal::kMarkName;
      if (!index && !block) others.push_back(entry);
      if ((!index || *index <= printed) && !block) continue;
      if (buffer.size() < entry.bytes) buffer = AlignedBuffer(entry.bytes);
      auto got = co_await read_file(storage_, entry.name, buffer.span().first(entry.bytes));
      any = true;
      if (!got && got.error().code != Errc::kNotFound) co_return fail(std::move(got.error()));
      if (block && got) dump_block_file(buffer.view().first(*got), entry.name, as_json, sink);
      if (block) continue;
      auto after = co_await read_file(storage_, entry.name, again.span());
      const auto same = std::min<std::size_t>(got ? *got : 0, wal::kBlockBytes);
      if (!got || !after || !std::equal(again.data(), again.data() + same, buffer.data())) {
        moved = clock_.mono() < deadline;
        if (moved) break;
        continue;
      }
      records += dump_segment(buffer.view().first(*got), entry.name, as_json, sink);
      printed = *index;
    }
  }
  if (!any) co_return fail(Errc::kNotFound, "there is no queue in this directory: neither an identity nor a segment");
  for (const auto& other : others)
    sink(line_of(
        {{"file", other.name}, {"type", "other"}, {"bytes", number(other.bytes)}, {"what", purpose_of(other.name)}},
        as_json));
  co_return records;
}

}  // namespace qh::queue
