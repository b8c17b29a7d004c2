#include "queue/log_scan.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/codec.h"

namespace qh::queue::wal {
namespace {

struct Batch {
  BatchHeader header;
  std::uint64_t seq = 0;
  std::string fault;  ///< empty: every record of it is good
};

/// The batch of this life at `offset`, checked to its last record; nothing if none starts there.
std::optional<Batch> read_batch(ByteView file, std::uint64_t life, std::uint64_t offset) {
  const auto found = read_batch_record(file.subspan(offset));
  if (!found || found->second.life != life) return std::nullopt;
  Batch batch{found->second, found->first.seq, {}};
  const auto& header = batch.header;
  if (header.bytes > file.size() - offset || header.bytes < kBatchRecordBytes) {
    batch.fault = fmt::format("the batch at offset {} reaches behind the end of the file", offset);
    return batch;
  }
  ByteView rest = file.subspan(offset, header.bytes).subspan(kBatchRecordBytes);
  std::uint64_t seq = batch.seq;
  for (std::uint32_t i = 0; i < header.records; ++i) {
    const auto record = read_record(rest, life);
    if (!record || record->seq != seq || record->type == RecordType::kBatch) {
      batch.fault =
          fmt::format("record {} of {} in the batch at offset {} does not check", i + 1, header.records, offset);
      return batch;
    }
    if (is_logical(record->type)) ++seq;
    rest = rest.subspan(record->bytes);
  }
  if (!rest.empty()) batch.fault = fmt::format("the batch at offset {} is longer than its records", offset);
  return batch;
}

void visit_batch(ByteView file, std::uint64_t life, const Batch& batch, ScanEnd& end, RecordVisitor& visit) {
  std::uint64_t at = end.offset;
  for (std::uint32_t i = 0; i <= batch.header.records; ++i) {
    const auto record = read_record(file.subspan(at), life);
    visit(*record, at);
    if (is_logical(record->type)) ++end.next_seq;
    if (const auto seal = seal_in(*record)) end.seal = seal;
    at += record->bytes;
  }
  end.records += batch.header.records;
  ++end.batches;
  end.durable_seq = std::max(end.durable_seq, batch.header.durable_seq);
  end.offset = align_up(end.offset + batch.header.bytes, kBlockBytes);
}

/// What of this life stands behind the last good batch, and up to where it was known to be durable.
void look_behind(ByteView file, std::uint64_t life, ScanEnd& end) {
  for (std::uint64_t at = end.offset; at + kBlockBytes <= file.size(); at += kBlockBytes) {
    if (is_zero(file.subspan(at, kBlockBytes))) continue;
    end.written_end = at + kBlockBytes;
    const auto batch = read_batch(file, life, at);
    if (!batch) {
      if (!looks_like_batch_of(file.subspan(at, kBlockBytes), life)) continue;
      if (end.fault.empty()) end.fault = fmt::format("the batch record at offset {} does not check", at);
      end.fault_end = at + kBlockBytes;
      end.counted_seq.reset();
      continue;
    }
    if (end.fault.empty()) {
      end.fault = !batch->fault.empty()
                      ? batch->fault
                      : fmt::format("records {} to {} are missing before offset {}", end.next_seq, batch->seq - 1, at);
    }
    end.durable_seq = std::max(end.durable_seq, batch->header.durable_seq);
    end.fault_end = std::min<std::uint64_t>(file.size(), align_up(at + batch->header.bytes, kBlockBytes));
    end.counted_seq = batch->seq + batch->header.records;
    if (batch->fault.empty() && !end.resume_offset && batch->seq >= end.next_seq) {
      end.resume_offset = at;
      end.resume_seq = batch->seq;
    }
  }
}

/// What a record's first bytes must look like before its checksum is worth computing.
bool may_be_record(ByteView in, const RecordSearch& where) {
  const auto type = static_cast<RecordType>(in[4]);
  const bool known =
      is_logical(type) ? type <= RecordType::kEvict : type == RecordType::kMark || type == RecordType::kSeal;
  if (!known || in[5] != std::byte{0} || in[6] != std::byte{0} || in[7] != std::byte{0}) return false;
  const auto seq = load_le<std::uint64_t>(in.data() + 8);
  return seq >= where.min_seq && (seq < where.max_seq || (seq == where.max_seq && !is_logical(type)));
}

}  // namespace

std::optional<Seal> seal_in(const RecordView& record) {
  if (record.type != RecordType::kSeal) return std::nullopt;
  ByteReader fields(record.payload);
  Seal seal;
  seal.next_segment = fields.get<std::uint64_t>();
  seal.next_life = fields.get<std::uint64_t>();
  return fields.at_end() ? std::optional(seal) : std::nullopt;
}

// Records lie side by side, so behind a good one the next begins; behind a bad one, whose length may be what is bad,
// every byte may be the start. What a body says there does not count: nobody who writes one knows the life.
void scan_records(ByteView file, std::uint64_t life, const RecordSearch& where, RecordVisitor& visit) {
  const auto end = std::min<std::uint64_t>(where.to, file.size());
  RecordSearch rest = where;
  for (std::uint64_t at = where.from; at + kRecordOverheadBytes <= end;) {
    const auto in = file.subspan(at, end - at);
    const auto record = may_be_record(in, rest) ? read_record(in, life) : std::nullopt;
    if (!record) {
      ++at;
      continue;
    }
    visit(*record, at);
    rest.min_seq = record->seq + (is_logical(record->type) ? 1 : 0);
    at += record->bytes;
  }
}

ScanEnd scan_segment(ByteView file, std::uint64_t life, std::uint64_t offset, std::uint64_t next_seq,
                     RecordVisitor& visit) {
  ScanEnd end;
  end.offset = offset;
  end.next_seq = next_seq;
  while (!end.seal && end.offset + kBlockBytes <= file.size()) {
    const auto batch = read_batch(file, life, end.offset);
    if (!batch || !batch->fault.empty() || batch->seq != end.next_seq) break;
    visit_batch(file, life, *batch, end, visit);
  }
  if (!end.seal) look_behind(file, life, end);
  return end;
}

}  // namespace qh::queue::wal
