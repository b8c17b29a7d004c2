#include "queue/log_tools.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/storage_await.h"
#include "queue/log_recovery.h"
#include "queue/log_tools_lines.h"

namespace qh::queue {
namespace {

constexpr std::uint64_t kSegmentBytesMin = 4U << 20;

class Nothing final : public wal::Replay {
 public:
  void on_segment(const wal::SegmentOnDisk&) override {}
  void on_state(const wal::QueueState&) override {}
  Result<void> on_record(const wal::RecordView&, wal::Ordinal) override { return {}; }
  void on_gap(std::uint64_t, std::uint64_t) override {}
  std::uint64_t prepared_bytes_min() const override { return 0; }  // it only looks
};

/// Nothing in the log is too old, too large or too often handed out for a tool: that is the node's to judge.
Options keep_all() {
  Options options;
  options.name = "imported";  // of one that an import makes
  options.max_depth = options.max_bytes = std::uint64_t{1} << 62;
  options.max_deliveries = 1000;
  options.dead_letters_max = options.dead_letter_bytes_max = std::uint64_t{1} << 62;
  options.dead_letter_age_max = std::chrono::hours(24 * 36'500);
  options.idempotency_keys_max = UINT32_MAX;
  options.idempotency_window = std::chrono::hours(24 * 3'650);
  return options;
}

/// "00000003.wal.damaged", also ".damaged.2"
bool is_kept_aside(std::string_view name) {
  constexpr std::string_view kSuffixes[] = {".damaged", ".unknown", ".torn"};
  return std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                     [&](auto suffix) { return name.find(suffix) != std::string_view::npos; });
}

}  // namespace

LogTool::LogTool(Storage& storage, Clock& clock, Rng& rng, Duration patience)
    : storage_(storage), clock_(clock), rng_(rng), patience_(patience) {}
LogTool::~LogTool() = default;

bool LogTool::step() {
  if (!engine_) return false;
  if (std::exchange(pump_wanted_, false)) {
    engine_->pump();
    return true;
  }
  if (engine_->next_wakeup() > clock_.mono()) return false;
  engine_->tick();
  return true;
}

MonoTime LogTool::next_wakeup() const { return engine_ ? engine_->next_wakeup() : MonoTime::never(); }

Engine& LogTool::new_engine(Options options) {
  before_ = std::move(engine_);
  pump_wanted_ = false;
  engine_ = std::make_unique<Engine>(storage_, clock_, rng_, std::move(options),
                                     Engine::Hooks{[this] { pump_wanted_ = true; }, {}});
  return *engine_;
}

// A segment must hold the largest record that is there, and compaction needs room for the largest segment.
Task<Result<Options>> LogTool::options_here() {
  auto options = keep_all();
  auto entries = co_await io::list(storage_);
  if (!entries) co_return fail(std::move(entries.error()));
  std::uint64_t largest = 0;
  for (const auto& entry : *entries) {
    if (wal::segment_index(entry.name)) largest = std::max(largest, align_up(entry.bytes, wal::kBlockBytes));
  }
  options.segment_bytes_min = std::max(largest, kSegmentBytesMin);
  options.segment_bytes_max = std::max(options.segment_bytes_max, options.segment_bytes_min);
  co_return options;
}

// -- Looking ---------------------------------------------------------------------------------------------

/// The queue's owner may recycle a segment, or write on, while we read. What is really damaged looks the same
/// twice; what moved does not.
Task<Result<RecoveryReport>> LogTool::open_steadily() {
  const auto deadline = clock_.mono() + patience_;
  std::string last;
  while (true) {
    auto options = co_await options_here();
    if (!options) co_return fail(std::move(options.error()));
    Engine& engine = new_engine(std::move(*options));
    auto report = co_await until<Result<RecoveryReport>>([&](auto done) { engine.open_read_only(std::move(done)); });
    if (report) co_return report;
    auto error = std::move(report.error());
    if (error.code == Errc::kNewerVersion || error.to_string() == last) co_return fail(std::move(error));
    last = error.to_string();
    if (clock_.mono() < deadline) continue;
    co_return fail(Errc::kTimeout,
                   "the log moved at every look: stop the node, or try again when it has less to do (" + last + ")");
  }
}

Task<Result<LogTool::Verdict>> LogTool::verify() {
  Verdict verdict;
  auto report = co_await open_steadily();
  if (report) {
    verdict.report = std::move(*report);
    co_return verdict;
  }
  verdict.half_made = report.error().code == Errc::kNotFound && report.error().subject == wal::kHalfMade;
  if (verdict.half_made) co_return verdict;
  if (report.error().code != Errc::kCorrupt && report.error().code != Errc::kIo)
    co_return fail(std::move(report.error()));
  verdict.damage = std::move(report.error());
  auto options = co_await options_here();
  if (!options) co_return fail(std::move(options.error()));
  Nothing nothing;
  wal::Recovery survey(storage_, clock_, rng_, *options, nothing, wal::RecoveryMode::kSurvey);
  auto found = co_await survey.run();
  if (found) {
    verdict.lost = std::move(found->lost);
    verdict.damaged_files = std::move(found->damaged_files);
    verdict.report = std::move(found->report);
  }
  co_return verdict;
}

Task<Result<std::uint64_t>> LogTool::export_lines(Sink sink) {
  auto report = co_await open_steadily();
  if (!report) co_return fail(std::move(report.error()));
  std::map<MessageId, DeadLetter> dead;
  for (std::optional<DeadPosition> after;;) {
    auto some = engine_->dead_letters(after, 1000);
    if (some.empty()) break;
    after = {some.back().died_at.ms(), some.back().message.id};
    for (auto& one : some) dead.emplace(one.message.id, std::move(one));
  }
  std::uint64_t count = 0;
  engine_->each([&](const Found& found) {
    const auto it = dead.find(found.message->id);
    sink(export_line(found, it == dead.end() ? nullptr : &it->second));
    ++count;
  });
  co_return count;
}

// -- Changing --------------------------------------------------------------------------------------------

Task<Result<std::set<std::string>>> LogTool::names_here() {
  auto entries = co_await io::list(storage_);
  if (!entries) co_return fail(std::move(entries.error()));
  std::set<std::string> names;
  for (auto& entry : *entries) names.insert(std::move(entry.name));
  co_return names;
}

Task<Result<LogTool::Repaired>> LogTool::repair() {
  Repaired repaired;
  auto before = co_await verify();
  if (!before) co_return fail(std::move(before.error()));
  repaired.before = std::move(*before);
  if (repaired.before.sound()) co_return repaired;
  const auto there = co_await names_here();
  if (!there) co_return fail(there.error());
  auto options = co_await options_here();
  if (!options) co_return fail(std::move(options.error()));
  Engine& engine = new_engine(std::move(*options));
  auto salvaged = co_await until<Result<RecoveryReport>>([&](auto done) { engine.open_salvage(std::move(done)); });
  if (!salvaged) co_return fail(std::move(salvaged.error()));
  repaired.salvaged = std::move(*salvaged);
  auto done = co_await until<Result<void>>([&](auto compacted) { engine.compact_wal(std::move(compacted)); });
  if (done) done = co_await until<Result<void>>([&](auto stopped) { engine.stop(std::move(stopped)); });
  if (!done) co_return fail(std::move(done.error()).in("repair: it can be begun again"));
  auto after = co_await verify();
  if (!after) co_return fail(std::move(after.error()));
  repaired.after = std::move(*after);
  const auto now = co_await names_here();
  if (!now) co_return fail(now.error());
  for (const auto& name : *now) {
    if (!there->contains(name) && is_kept_aside(name)) repaired.kept_aside.push_back(name);
  }
  co_return repaired;
}

}  // namespace qh::queue
