#include "queue/log_writer.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/codec.h"
#include "base/storage_await.h"

namespace qh::queue::wal {
namespace {

// A batch is closed at this size: large enough to amortise a sync, small enough that the first record in
// it does not wait long for the last.
constexpr std::uint32_t kBatchBytesMax = 1U << 20;
// Grow when a segment lasts less than this, shrink when it lasts longer than the other: what fills 64 MiB in no less
// fills 4 MiB in more than the first.
constexpr auto kSegmentTooQuick = std::chrono::seconds(5);
constexpr auto kSegmentTooSlow = std::chrono::minutes(2);
constexpr std::size_t kSpareBuffersMax = 4;

/// Bytes behind `from` in a segment of so many.
std::uint64_t usable(std::uint64_t from, std::uint64_t bytes) {
  const std::uint64_t slack = 2 * kBlockBytes;
  return bytes > from + slack ? bytes - from - slack : 0;
}

std::uint64_t space_of(std::size_t record_bytes) { return align_up(kBatchRecordBytes + record_bytes, kBlockBytes); }

}  // namespace

LogWriter::LogWriter(Storage& storage, Clock& clock, Rng& rng, SegmentPool& pool, Limits limits, Owner& owner)
    : storage_(storage),
      clock_(clock),
      rng_(rng),
      pool_(pool),
      limits_(limits),
      owner_(owner),
      mark_block_(kBlockBytes) {}

void LogWriter::start(WriterStart start) {
  queue_id_ = start.queue_id;
  queue_name_ = std::move(start.queue_name);
  segment_ = start.segment;
  life_ = start.life;
  offset_ = start.offset;
  next_seq_ = durable_seq_ = start.next_seq;
  next_ordinal_ = start.next_ordinal;
  mark_file_ = start.mark_file;
  mark_turn_ = start.mark_turn;
  roll_first_ = nothing_open_ = start.nothing_open;
  segment_started_ = clock_.mono();
}

std::uint32_t LogWriter::record_bytes_max() const {
  const auto capacity = limits_.segment_bytes_min - 3 * kBlockBytes;  // header, seal, the batch's own record
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(capacity, UINT32_MAX));
}

std::uint32_t LogWriter::batch_bytes_max() const {
  const auto smallest = std::max(smallest_segment_, kSegmentBytesLeast) - 3 * kBlockBytes;
  const auto most = std::min<std::uint64_t>(kBatchBytesMax, smallest);
  return std::min(static_cast<std::uint32_t>(most), record_bytes_max());
}

LogWriter::Batch& LogWriter::open_batch() {
  if (batches_.empty() || batches_.back().is_mark || batches_.back().records.size() >= kBatchBytesMax) {
    pending_bytes_ += space_of(0);
    return new_batch();
  }
  return batches_.back();
}

LogWriter::Batch& LogWriter::new_batch() {
  Batch batch;
  batch.ordinal = next_ordinal_++;
  batch.state = owner_.state_now();
  batch.bytes_to_end = bytes_to_end();
  if (!spare_records_.empty()) {
    batch.records = std::move(spare_records_.back());
    spare_records_.pop_back();
  }
  batches_.push_back(std::move(batch));
  return batches_.back();
}

/// Bytes of records behind the batches that wait, up to the end of the segment in which the last of them will stand.
std::uint64_t LogWriter::bytes_to_end() const {
  if (rolling_ || roll_first_) return UINT64_MAX;
  std::uint64_t at = offset_, end = segment_.bytes - kBlockBytes;  // the last block is the seal's
  std::size_t next = 0;
  for (const auto& batch : batches_) {
    const auto space = space_of(batch.records.size());
    if (at + space > end) {
      if (next == pool_.ready().size()) return UINT64_MAX;
      at = kBlockBytes;
      end = pool_.ready()[next++].bytes - kBlockBytes;
    }
    at += space;
  }
  return end > at + kBatchRecordBytes ? end - at - kBatchRecordBytes : 0;
}

// The record that starts at `at` is complete. If it has made its batch too large, it moves to a new one. A batch
// ends where its segment does, so that little is wasted there.
Ordinal LogWriter::close_record(std::size_t at) {
  const auto to_end = batches_.back().bytes_to_end;
  const auto max_bytes = at > to_end ? batch_bytes_max() : std::min<std::uint64_t>(batch_bytes_max(), to_end);
  Batch* batch = &batches_.back();
  INVARIANT(batch->records.size() - at <= record_bytes_max(), "the engine refuses what no segment can hold");
  if (batch->count > 0 && batch->records.size() > max_bytes) {
    const Bytes record(batch->records.begin() + static_cast<std::ptrdiff_t>(at), batch->records.end());
    batch->records.resize(at);
    batch = &new_batch();
    batch->records.insert(batch->records.end(), record.begin(), record.end());
    pending_bytes_ += space_of(batch->records.size());
  } else {
    pending_bytes_ += space_of(batch->records.size()) - space_of(at);
  }
  ++batch->count;
  return batch->ordinal;
}

bool LogWriter::fits(const Batch& batch) const {
  return offset_ + space_of(batch.records.size()) + kBlockBytes <= segment_.bytes;
}

std::uint64_t LogWriter::room() const {
  const auto room = room_to_come() + (roll_first_ ? 0 : usable(offset_, segment_.bytes));
  return room > pending_bytes_ ? room - pending_bytes_ : 0;
}

std::uint64_t LogWriter::room_to_come() const {
  std::uint64_t room = 0;
  for (const auto& segment : pool_.ready()) room += usable(kBlockBytes, segment.bytes);
  return room;
}

std::uint64_t LogWriter::ends_before(std::uint64_t more, std::uint64_t largest) const {
  std::uint64_t ends = 0, left = pending_bytes_ + more;
  auto there = roll_first_ ? 0 : usable(offset_, segment_.bytes);
  for (const auto& segment : pool_.ready()) {
    if (left <= there) break;
    left -= there - std::min(there, largest);
    there = usable(kBlockBytes, segment.bytes);
    ++ends;
  }
  return ends;
}

std::uint64_t LogWriter::segment_bytes_to_hold(std::uint64_t record_bytes) {
  return space_of(record_bytes) + 2 * kBlockBytes;  // header and seal
}

bool LogWriter::can_hold(std::uint64_t record_bytes) const {
  if (!roll_first_ && offset_ + pending_bytes_ + space_of(record_bytes) + kBlockBytes <= segment_.bytes) return true;
  return std::any_of(pool_.ready().begin(), pool_.ready().end(), [&](const PreparedSegment& segment) {
    return segment.bytes >= segment_bytes_to_hold(record_bytes);
  });
}

void LogWriter::pump() {
  if (pumping_ || rolling_ || failure_) return;
  pumping_ = true;
  while (!failure_ && !rolling_ && !batches_.empty() && in_flight_.size() < limits_.batches_in_flight) {
    if (!roll_first_ && fits(batches_.front())) {
      Batch batch = std::move(batches_.front());
      batches_.pop_front();
      issue(std::move(batch));
    } else {
      if (!in_flight_.empty() || pool_.ready().empty()) break;  // a completion, or the pool, pumps again
      rolling_ = true;
      roll_ = roll();
      roll_.start();  // may have ended already
    }
  }
  pumping_ = false;
}

AlignedBuffer LogWriter::buffer_of(std::size_t bytes) {
  for (auto& spare : spare_buffers_) {
    if (spare.size() >= bytes) {
      AlignedBuffer found = std::move(spare);
      std::swap(spare, spare_buffers_.back());
      spare_buffers_.pop_back();
      return found;
    }
  }
  return AlignedBuffer(std::max<std::size_t>(bytes, 16 * kBlockBytes));
}

void LogWriter::issue(Batch batch) {
  const auto space = space_of(batch.records.size());
  pending_bytes_ -= space;
  InFlight flight;
  flight.ordinal = batch.ordinal;
  flight.count = batch.count;
  flight.is_mark = batch.is_mark;
  flight.started = clock_.mono();
  flight.buffer = buffer_of(space);
  const auto out = flight.buffer.span().first(space);
  const auto used = kBatchRecordBytes + batch.records.size();
  write_batch_record(out, next_seq_, {life_, static_cast<std::uint32_t>(used), batch.count, durable_seq_});
  std::copy(batch.records.begin(), batch.records.end(), out.begin() + kBatchRecordBytes);
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(used), out.end(), std::byte{0});
  for (std::size_t at = kBatchRecordBytes; at < used;) {
    const auto length = load_le<std::uint32_t>(out.data() + at);
    finish_record(out.subspan(at, length), next_seq_, life_);
    if (!batch.is_mark) ++next_seq_;
    at += length;
  }
  flight.next_seq = next_seq_;
  if (spare_records_.size() < kSpareBuffersMax) {
    batch.records.clear();
    spare_records_.push_back(std::move(batch.records));
  }
  const auto offset = offset_;
  offset_ += space;
  owner_.on_placed(batch.ordinal, segment_.index);
  in_flight_.push_back(std::move(flight));
  storage_.write(segment_.file, offset, out, Storage::Durability::kDurable,
                 [this, ordinal = batch.ordinal](Result<void> result) { written(ordinal, std::move(result)); });
}

void LogWriter::written(Ordinal ordinal, Result<void> result) {
  if (failure_) return;
  if (!result) return fail_with(std::move(result.error()));
  const auto it =
      std::find_if(in_flight_.begin(), in_flight_.end(), [&](const InFlight& f) { return f.ordinal == ordinal; });
  INVARIANT(it != in_flight_.end(), "a write completes once");
  it->done = true;
  const auto now = clock_.mono();
  if (!it->is_mark) {
    ++batches_written_;
    owner_.on_batch_written(it->count, now - it->started);
  }
  Ordinal durable = 0;
  while (!in_flight_.empty() && in_flight_.front().done) {
    auto& front = in_flight_.front();
    durable = front.ordinal;
    durable_seq_ = front.next_seq;
    if (front.is_mark) {
      marked_seq_ = front.next_seq;
      write_mark_file();
    }
    if (spare_buffers_.size() < kSpareBuffersMax) spare_buffers_.push_back(std::move(front.buffer));
    in_flight_.pop_front();
  }
  if (durable != 0) owner_.on_durable(durable);
  pump();
}

void LogWriter::mark(MarkIn where) {
  INVARIANT(!busy(), "a mark follows the last batch");
  if (failure_ || marked_seq_ == next_seq_) return;
  if (where == MarkIn::kFileAlone) {
    marked_seq_ = next_seq_;
    return write_mark_file();
  }
  Batch batch;
  batch.ordinal = next_ordinal_++;
  batch.state = owner_.state_now();
  batch.is_mark = true;
  batch.count = 1;
  end_record(batch.records, begin_record(batch.records, RecordType::kMark));
  pending_bytes_ += space_of(batch.records.size());
  batches_.push_back(std::move(batch));
  pump();
}

void LogWriter::write_mark_file() {
  if (std::exchange(mark_in_flight_, true)) {
    mark_is_old_ = true;
    return;
  }
  encode_mark({++mark_turn_, durable_seq_, segment_.index, queue_id_}, mark_block_.span());
  storage_.write(mark_file_, mark_turn_ % 2 * kBlockBytes, mark_block_.view(), Storage::Durability::kDurable,
                 [this](Result<void> result) {
                   mark_in_flight_ = false;
                   if (!result) return fail_with(std::move(result.error()));
                   if (std::exchange(mark_is_old_, false)) return write_mark_file();
                   owner_.on_marked();
                 });
}

Task<void> LogWriter::roll() {
  const auto next = pool_.take();
  INVARIANT(next.has_value(), "pump() has looked");
  const auto done = co_await enter(*next);
  rolling_ = false;
  if (!done) {
    fail_with(done.error());
    co_return;
  }
  // No pump() from here, nor by what the owner does about it: the next roll would replace this coroutine under itself.
  const bool pumping = std::exchange(pumping_, true);
  owner_.on_segment_started(segment_);
  pumping_ = pumping;
  owner_.on_pump_wanted();
}

Task<Result<void>> LogWriter::enter(PreparedSegment next) {
  SegmentHeader header;
  header.index = next.index;
  header.bytes = next.bytes;
  header.life = rng_.next();
  header.first_seq = header.durable_seq = next_seq_;
  header.queue_id = queue_id_;
  header.created_at = clock_.wall();
  header.queue_name = queue_name_;
  header.state = batches_.front().state;
  AlignedBuffer block(kBlockBytes);
  encode_header(header, block.span());
  auto done = co_await io::write(storage_, next.file, 0, block.view(), Storage::Durability::kDurable);
  if (!done) co_return done;
  if (!nothing_open_) {
    seal_batch(block.span(), next, header.life);
    done = co_await io::write(storage_, segment_.file, offset_, block.view(), Storage::Durability::kDurable);
    if (!done) co_return done;
    storage_.close(segment_.file);
  }
  adapt_segment_size();
  segment_ = next;
  life_ = header.life;
  offset_ = kBlockBytes;
  roll_first_ = nothing_open_ = false;
  co_return Result<void>();
}

std::uint64_t LogWriter::seal_batch(std::span<std::byte> block, const PreparedSegment& next, std::uint64_t next_life) {
  Bytes record;
  const auto at = begin_record(record, RecordType::kSeal);
  encode_seal({next.index, next_life}, record);
  end_record(record, at);
  finish_record(record, next_seq_, life_);
  const auto used = kBatchRecordBytes + record.size();
  std::fill(block.begin(), block.end(), std::byte{0});
  write_batch_record(block, next_seq_, {life_, static_cast<std::uint32_t>(used), 1, durable_seq_});
  std::copy(record.begin(), record.end(), block.begin() + kBatchRecordBytes);
  return used;
}

MonoTime LogWriter::may_shrink_at() const {
  const auto small = std::max(limits_.segment_bytes_min, pool_.bytes_floor());
  const auto large = [small](const PreparedSegment& s) { return s.bytes >= small + small / 4; };  // worth a roll
  const bool any = large(segment_) || std::any_of(pool_.ready().begin(), pool_.ready().end(), large);
  return any ? segment_started_ + kSegmentTooSlow : MonoTime::never();
}

void LogWriter::shrink() {
  shrinking_ = roll_first_ = true;
  pool_.want_bytes(limits_.segment_bytes_min);
}

void LogWriter::adapt_segment_size() {
  if (std::exchange(shrinking_, false)) return;  // nor does the time start again: others may be large, too
  const auto now = clock_.mono();
  const auto lasted = now - segment_started_;
  segment_started_ = now;
  auto bytes = segment_.bytes;
  if (lasted < kSegmentTooQuick) bytes *= 2;
  if (lasted > kSegmentTooSlow) bytes = limits_.segment_bytes_min;
  pool_.want_bytes(std::clamp(bytes, limits_.segment_bytes_min, limits_.segment_bytes_max));
}

void LogWriter::fail_with(Error error) {
  if (failure_) return;
  failure_ = std::move(error);
  owner_.on_failed(*failure_);
}

}  // namespace qh::queue::wal
