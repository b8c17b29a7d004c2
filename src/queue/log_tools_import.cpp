// `wal import`: all is judged, then all is stored.
#include <algorithm>

#include <fmt/format.h>

#include "base/storage_await.h"
#include "queue/admission.h"
#include "queue/log_tools.h"
#include "queue/log_tools_lines.h"

namespace qh::queue {
namespace {

using ToImport = LogTool::ToImport;

constexpr std::size_t kImportAtOnce = 512;

Error line_error(std::uint64_t number, std::string_view field, std::string_view why, Errc code = Errc::kInvalid) {
  return Error(code, fmt::format("line {}: {}: {}", number, field, why)).about(field);
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

Result<void> check_size(const ImportLine& line, const Bytes& body, const Options& bounds) {
  const auto kind = kind_of(line.message.message);
  const auto fits = Admission(bounds).check_size(kind, body.size());
  if (fits) return {};
  const bool by_tx = info(kind).ordered && bounds.max_tx_bytes < bounds.max_message_bytes;
  auto error = line_error(line.number, "message",
                          fmt::format("{}: raise {} of [queue] in the node's configuration, or take the line out",
                                      fits.error().context, by_tx ? "max-tx-bytes" : "max-message-bytes"),
                          Errc::kTooLarge);
  error.size = fits.error().size;
  error.limit = fits.error().limit;
  return tl::unexpected<Error>(std::move(error));
}

/// As the engine would judge it, before anything is stored.
Result<Submission> submission_of(ImportLine& line, const LogTool::ImportOptions& how) {
  auto body = encode(line.message.message);
  if (!body) return fail(line_error(line.number, "message." + body.error().subject, body.error().context));
  if (auto fits = check_size(line, *body, how.bounds); !fits) return fail(std::move(fits.error()));
  SubmitOptions submit;
  submit.durability = Durability::kSync;
  submit.submitted_by = std::move(line.message.submitted_by);
  submit.created_at = line.message.created_at;
  submit.not_before = line.not_before;
  if (!line.dead_letter) submit.expires_at = line.expires_at;  // it would die of the same at once
  if (!how.renumber) submit.id = line.message.id;
  if (auto good = check_submit_options(submit); !good) {
    auto error = std::move(good.error()).in(fmt::format("line {}", line.number));
    if (error.subject == "message_id") error.context += "; with --renumber every line gets a new one";
    return tl::unexpected<Error>(std::move(error));
  }
  return Submission{std::move(*body), std::move(submit)};
}

/// They all have to fit, beside those that are there.
Result<void> check_load(const std::vector<ToImport>& lines, const Metrics& there, const Options& bounds) {
  auto bytes = there.bytes;
  for (const auto& one : lines) bytes += one.submission.body.size();
  const auto too_many = [&](std::string_view what, std::uint64_t comes, std::uint64_t has, std::uint64_t limit,
                            std::string_view key) -> Result<void> {
    Error error(Errc::kQueueFull,
                fmt::format("{} {} are too many: the queue has {} and holds {}; raise {} of [queue] in "
                            "the node's configuration, or import fewer lines",
                            comes, what, has, limit, key));
    error.size = comes;
    error.limit = limit;
    return tl::unexpected<Error>(std::move(error).about(key));
  };
  if (there.depth + lines.size() > bounds.max_depth)
    return too_many("messages", lines.size(), there.depth, bounds.max_depth, "max-depth");
  if (bytes > bounds.max_bytes)
    return too_many("bytes", bytes - there.bytes, there.bytes, bounds.max_bytes, "max-bytes");
  return {};
}

/// Whether it is in the queue as it is in the line: of an import that was cut off, or of the queue that was exported. A
/// dead letter as well: it may have come from this line and have expired since, and its id is not given again.
bool is_there(const Engine& engine, const Submission& line, LogTool::Imported& imported) {
  if (!line.options.id || !line.options.created_at) return false;
  const auto found = engine.find(*line.options.id);
  // An export has milliseconds.
  const bool same = found.message && found.message->created_at.ms() == line.options.created_at->ms() &&
                    std::ranges::equal(found.message->body.view(), line.bytes());
  imported.already_there += same ? 1 : 0;
  imported.already_dead += same && found.state == MessageState::kDead ? 1 : 0;
  return same;
}

}  // namespace

Result<std::vector<LogTool::ToImport>> LogTool::judge(std::string_view text, const ImportOptions& how,
                                                      Imported& imported) {
  auto lines = read_lines(text);
  if (!lines) return fail(std::move(lines.error()));
  if (!how.dead_letters)
    imported.dead_letters = std::erase_if(*lines, [](const ImportLine& line) { return line.dead_letter; });
  if (!how.renumber)
    std::stable_sort(lines->begin(), lines->end(),
                     [](const auto& a, const auto& b) { return a.message.id < b.message.id; });
  std::vector<ToImport> judged;
  for (std::size_t i = 0; i < lines->size(); ++i) {
    auto& line = (*lines)[i];
    if (!how.renumber && i > 0 && (*lines)[i - 1].message.id == line.message.id) {
      return fail(line_error(
          line.number, "message_id",
          fmt::format("{} stands in line {} as well", line.message.id.value(), (*lines)[i - 1].number), Errc::kExists));
    }
    auto submission = submission_of(line, how);
    if (!submission) return fail(std::move(submission.error()));
    judged.push_back({std::move(*submission), line.number});
  }
  if (auto fit = check_load(judged, Metrics(), how.bounds); !fit) return fail(std::move(fit.error()));
  return judged;
}

Task<Result<void>> LogTool::store(std::vector<ToImport> lines, std::uint64_t& stored) {
  struct Chunk {
    std::size_t left = 0;
    std::optional<Error> error;
    UniqueFunction<void(Result<void>)> done;
  };
  for (std::size_t at = 0; at < lines.size(); at += kImportAtOnce) {
    const auto end = std::min(at + kImportAtOnce, lines.size());
    auto done = co_await until<Result<void>>([&](auto answer) {
      auto chunk = std::make_shared<Chunk>(Chunk{end - at, {}, std::move(answer)});
      for (std::size_t i = at; i < end; ++i) {
        engine_->submit(std::move(lines[i].submission), [chunk, &stored](Result<Submitted> result) {
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

/// What the engine of an import keeps to: messages and segments as the node's, so that the node can go on with them.
Task<Result<Options>> LogTool::options_of_import(const Options& bounds) {
  auto options = co_await options_here();
  if (!options) co_return options;
  options->max_message_bytes = bounds.max_message_bytes;
  options->max_tx_bytes = bounds.max_tx_bytes;
  options->segment_bytes_min = std::max(options->segment_bytes_min, bounds.segment_bytes_min);
  options->segment_bytes_max = std::max(options->segment_bytes_min, bounds.segment_bytes_max);
  options->ids_by_puts = true;
  co_return options;
}

/// The smallest id goes first and alone: if it is free, all above are.
Task<Result<void>> LogTool::store_smallest(std::vector<ToImport>& lines, Imported& imported) {
  const auto line = lines.front().line;
  std::vector<ToImport> smallest;
  smallest.push_back(std::move(lines.front()));
  lines.erase(lines.begin());
  auto done = co_await store(std::move(smallest), imported.messages);
  if (done) co_return done;
  auto error = std::move(done.error()).in(fmt::format("line {}", line));
  if (error.code == Errc::kExists && imported.already_there > 0)
    error.context += fmt::format("; {} with smaller ids are there already and would be stored twice by --renumber",
                                 imported.already_there);
  co_return tl::unexpected<Error>(std::move(error));
}

Task<Result<LogTool::Imported>> LogTool::import_lines(std::string_view text, ImportOptions how) {
  Imported imported;
  auto lines = judge(text, how, imported);
  if (!lines) co_return fail(std::move(lines.error()));
  auto options = co_await options_of_import(how.bounds);
  if (!options) co_return fail(std::move(options.error()));
  Engine& engine = new_engine(std::move(*options));
  auto opened = co_await until<Result<RecoveryReport>>([&](auto done) { engine.open(std::move(done)); });
  if (!opened) co_return fail(std::move(opened.error()));
  imported.created = opened->created;
  std::erase_if(*lines, [&](const ToImport& line) { return is_there(engine, line.submission, imported); });
  const auto all = lines->size();
  auto done = check_load(*lines, engine.metrics(), how.bounds);
  if (done && all > 0 && !how.renumber) done = co_await store_smallest(*lines, imported);
  if (done) done = co_await store(std::move(*lines), imported.messages);
  auto stopped = co_await until<Result<void>>([&](auto ended) { engine.stop(std::move(ended)); });
  if (!done && imported.messages == 0) co_return fail(std::move(done.error()));
  if (done) done = std::move(stopped);
  if (!done) {
    co_return fail(std::move(done.error())
                       .in(fmt::format("{} of {} messages were stored, {}", imported.messages, all,
                                       how.renumber ? "the first ones; a repeat would store them again"
                                                    : "those with the smallest ids; the same import goes on there")));
  }
  co_return imported;
}

}  // namespace qh::queue
