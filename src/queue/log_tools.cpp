#include "queue/log_tools.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/storage_await.h"
#include "queue/log_recovery.h"
#include "queue/log_tools_lines.h"

namespace qh::queue {
namespace {

constexpr std::size_t kImportAtOnce = 512;
constexpr std::uint64_t kSegmentBytesMin = 4U << 20;

class Nothing final : public wal::Replay {
 public:
  void on_segment(const wal::SegmentOnDisk&) override {}
  void on_state(const wal::QueueState&) override {}
  Result<void> on_record(const wal::RecordView&, wal::Ordinal) override { return {}; }
  void on_gap(std::uint64_t, std::uint64_t) override {}
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

Error line_error(std::uint64_t number, std::string_view field, std::string_view why, Errc code = Errc::kInvalid) {
  return Error(code, fmt::format("line {}: {}: {}", number, field, why)).about(field);
}

/// "00000003.wal.damaged", also ".damaged.2"
bool is_kept_aside(std::string_view name) {
  constexpr std::string_view kSuffixes[] = {".damaged", ".unknown", ".torn"};
  return std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                     [&](auto suffix) { return name.find(suffix) != std::string_view::npos; });
}

/// What the engine would refuse, found before anything is stored.
Result<void> check_line(const ImportLine& line, const Bytes& body, const Options& options) {
  const auto kind = kind_of(line.message.message);
  const auto limit = info(kind).ordered ? options.max_tx_bytes : options.max_message_bytes;
  if (body.size() > limit)
    return fail(
        line_error(line.number, "message",
                   fmt::format("has {} bytes; at most {} are allowed for {}", body.size(), limit, info(kind).name),
                   Errc::kTooLarge));
  if (line.message.submitted_by.size() > 255)
    return fail(line_error(line.number, "submitted_by", "is longer than 255 bytes"));
  const auto id = line.message.id.value();
  if (id == 0 || id > kIntegerMax) return fail(line_error(line.number, "message_id", "must be 1 to 2^53 - 1"));
  return {};
}

Result<std::vector<ImportLine>> read_lines(std::string_view text) {
  std::vector<ImportLine> lines;
  for (std::uint64_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    auto one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.ends_with('\r')) one.remove_suffix(1);
    if (one.find_first_not_of(" \t") == std::string_view::npos) continue;
    auto line = import_line(one, number);
    if (!line) return fail(std::move(line.error()));
    lines.push_back(std::move(*line));
  }
  return lines;
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

Task<Result<void>> LogTool::store(std::vector<Submission> submissions, std::uint64_t& stored) {
  struct Chunk {
    std::size_t left = 0;
    std::optional<Error> error;
    UniqueFunction<void(Result<void>)> done;
  };
  for (std::size_t at = 0; at < submissions.size(); at += kImportAtOnce) {
    const auto end = std::min(at + kImportAtOnce, submissions.size());
    auto done = co_await until<Result<void>>([&](auto answer) {
      auto chunk = std::make_shared<Chunk>(Chunk{end - at, {}, std::move(answer)});
      for (std::size_t i = at; i < end; ++i) {
        engine_->submit(std::move(submissions[i]), [chunk, &stored](Result<Submitted> result) {
          if (result)
            ++stored;
          else if (!chunk->error)
            chunk->error = std::move(result.error());
          if (--chunk->left > 0) return;
          if (chunk->error)
            chunk->done(fail(*chunk->error));
          else
            chunk->done({});
        });
      }
    });
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<LogTool::Imported>> LogTool::import_lines(std::string_view text, ImportOptions how) {
  Imported imported;
  auto lines = read_lines(text);
  if (!lines) co_return fail(std::move(lines.error()));
  if (!how.dead_letters)
    imported.dead_letters = std::erase_if(*lines, [](const ImportLine& line) { return line.dead_letter; });
  if (!how.renumber)
    std::stable_sort(lines->begin(), lines->end(),
                     [](const auto& a, const auto& b) { return a.message.id < b.message.id; });
  auto options = co_await options_here();
  if (!options) co_return fail(std::move(options.error()));
  std::vector<Submission> submissions;
  for (std::size_t i = 0; i < lines->size(); ++i) {
    const auto& line = (*lines)[i];
    auto body = encode(line.message.message);
    if (!body) co_return fail(line_error(line.number, "message." + body.error().subject, body.error().context));
    if (auto good = check_line(line, *body, *options); !good) co_return fail(std::move(good.error()));
    if (!how.renumber && i > 0 && (*lines)[i - 1].message.id == line.message.id) {
      co_return fail(line_error(
          line.number, "message_id",
          fmt::format("{} stands in line {} as well", line.message.id.value(), (*lines)[i - 1].number), Errc::kExists));
    }
    SubmitOptions submit;
    submit.durability = Durability::kSync;
    submit.submitted_by = line.message.submitted_by;
    submit.created_at = line.message.created_at;
    submit.not_before = line.not_before;
    if (!how.renumber) submit.id = line.message.id;
    submissions.push_back({std::move(*body), std::move(submit)});
  }
  Engine& engine = new_engine(std::move(*options));
  auto opened = co_await until<Result<RecoveryReport>>([&](auto done) { engine.open(std::move(done)); });
  if (!opened) co_return fail(std::move(opened.error()));
  const auto first_line = lines->empty() ? 0 : lines->front().number;
  auto done = Result<void>();
  if (!submissions.empty() && submissions.front().options.id) {
    // The smallest id goes first and alone: if it is free, all above are.
    std::vector<Submission> smallest;
    smallest.push_back(std::move(submissions.front()));
    submissions.erase(submissions.begin());
    done = co_await store(std::move(smallest), imported.messages);
  }
  const bool taken = !done && done.error().code == Errc::kExists;
  if (done) done = co_await store(std::move(submissions), imported.messages);
  auto stopped = co_await until<Result<void>>([&](auto ended) { engine.stop(std::move(ended)); });
  if (taken) co_return fail(std::move(done.error()).in(fmt::format("line {}", first_line)));
  if (done) done = std::move(stopped);
  if (!done)
    co_return fail(std::move(done.error())
                       .in(fmt::format("{} of {} messages were stored, those with the smallest ids", imported.messages,
                                       lines->size())));
  if (!lines->empty() && !how.renumber) {
    imported.first_id = lines->front().message.id.value();
    imported.last_id = lines->back().message.id.value();
  }
  co_return imported;
}

}  // namespace qh::queue
