// bench/queue - the engine in process, on its owner's thread, beside the raw rate of the disk under it.
//
//   ./dev bench queue [--dir DIRECTORY] [--method direct|dsync|fdatasync] [--messages N] [--seconds S]
//                     [--in-flight N] [--only raw|async|sync|restore]
//   bench/with_journal.sh build/release/bin/bench_queue        the same on an ext4 with a journal
//
// Bodies are Gossip of 256 bytes. Every figure is from this one run; docs/performance.md keeps a table.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <malloc.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/file_storage.h"
#include "crypto/random.h"
#include "queue/await.h"
#include "queue/log_storage.h"

namespace qh::queue {
namespace {

using std::chrono::seconds;

struct Settings {
  std::filesystem::path dir = std::filesystem::temp_directory_path() / "qh-bench-queue";
  WriteMethod method = WriteMethod::kAuto;
  std::uint64_t messages = 1'000'000;
  double seconds = 3;
  unsigned in_flight = 1;
  std::string only;  ///< one part: raw, async, sync or restore
};

double now_s() {
  SystemClock clock;
  return static_cast<double>(clock.mono().ns) * 1e-9;
}

/// Of all threads of this process.
double cpu_s() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// An engine and its disk, driven by the thread that calls.
class Bench {
 public:
  explicit Bench(const Settings& settings) {
    Options options;
    options.name = "bench";
    options.max_depth = 16 * settings.messages;
    options.max_bytes = std::uint64_t{16} << 30;
    options.batches_in_flight = settings.in_flight;
    storage = FileStorage::open(settings.dir, log_storage_options(options, settings.method)).value();
    engine = std::make_unique<Engine>(
        *storage, clock, rng, options,
        Engine::Hooks{[this] { pump_wanted = true; }, [](std::string_view line) { fmt::print(stderr, "{}\n", line); }});
    bool open = false;
    engine->open([&](Result<RecoveryReport> result) {
      if (!result) {
        fmt::print(stderr, "{}\n", result.error().to_string());
        std::exit(1);
      }
      report = *result;
      open = true;
    });
    run_until([&] { return open; });
  }
  ~Bench() {
    storage.reset();
    engine.reset();
  }

  template <class Condition>
  void run_until(Condition condition) {
    while (!condition()) {
      storage->poll();
      while (std::exchange(pump_wanted, false)) engine->pump();
      if (condition()) return;
      if (storage->in_flight() > 0) storage->wait(clock.mono() + std::chrono::milliseconds(5));
      if (clock.mono() >= engine->next_wakeup()) engine->tick();
    }
  }
  void stop() {
    bool stopped = false;
    engine->stop([&](Result<void>) { stopped = true; });
    run_until([&] { return stopped; });
  }

  SystemClock clock;
  crypto::SystemRng rng;
  std::unique_ptr<FileStorage> storage;
  std::unique_ptr<Engine> engine;
  RecoveryReport report;
  bool pump_wanted = false;
};

Bytes body_of(std::size_t bytes) {
  Gossip message{"bench", Bytes(bytes, std::byte{42})};
  return encode(message).value();
}

SubmitOptions how(Durability durability) {
  SubmitOptions options;
  options.durability = durability;
  options.submitted_by = "bench";
  return options;
}

void clean(const Settings& settings) {
  std::filesystem::remove_all(settings.dir);
  std::filesystem::create_directories(settings.dir);
}

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t pages = 0, resident = 0;
  statm >> pages >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// -- The disk by itself: durable overwrites in turn of a file that is full of zeros -----------------------------

void raw_disk(const Settings& settings, std::size_t write_bytes) {
  clean(settings);
  FileStorage::Options io;
  io.write_method = settings.method;
  io.placement = FileStorage::Placement::kInline;
  auto storage = FileStorage::open(settings.dir, std::move(io)).value();
  FileId file;
  constexpr std::uint64_t kFileBytes = 64U << 20;
  storage->open("raw", Storage::OpenMode::kCreate, [&](Result<FileId> opened) { file = opened.value(); });
  storage->zero_fill(file, 0, kFileBytes, [](Result<void>) {});
  storage->sync(file, [](Result<void>) {});
  AlignedBuffer block(write_bytes);
  std::uint64_t count = 0;
  const auto started = now_s();
  while (now_s() - started < settings.seconds) {
    storage->write(file, count * write_bytes % (kFileBytes - write_bytes) / 4096 * 4096, block.view(),
                   Storage::Durability::kDurable, [&](Result<void> done) { count += done.has_value() ? 1 : 0; });
  }
  fmt::print("  raw disk, {:>3} KiB durable overwrites, one after the other  {:>10.0f} /s   ({})\n", write_bytes >> 10,
             static_cast<double>(count) / (now_s() - started), write_method_name(storage->method()));
}

// -- The engine ----------------------------------------------------------------------------------------------------

void async_submit_take(const Settings& settings) {
  clean(settings);
  Bench bench(settings);
  const Message message = Gossip{"bench", Bytes(256, std::byte{42})};
  std::uint64_t taken = 0, submitted = 0, asked = 0;
  const auto round = [&](std::uint64_t count) {
    const auto started = now_s();
    for (std::uint64_t i = 0; i < count; ++i) {
      bench.engine->submit({encode(message).value(), how(Durability::kAsync)},
                           [&](Result<Submitted> result) { submitted += result ? 1 : 0; });
      ++asked;
      // The owner's loop: I/O is looked at every so often, and at once when a block of ids must become durable.
      if (i % 64 == 0 || submitted != asked)
        bench.run_until([&, looked = false]() mutable { return std::exchange(looked, true) && submitted == asked; });
      bench.engine->take({KindMask::all(), MonoTime{}},
                         [&](Result<std::optional<Taken>> result) { taken += result && *result ? 1 : 0; });
    }
    return (now_s() - started) / static_cast<double>(count) * 1e6;
  };
  round(settings.messages / 10);
  const auto us = round(settings.messages);
  fmt::print("  async submit + take                                        {:>10.3f} us a message   (goal 0.5)\n", us);
  if (taken != settings.messages + settings.messages / 10) fmt::print("  but only {} were taken\n", taken);
}

/// `waiting` submitters on the owner's thread, each asks again when its last one is durable.
void sync_submits(const Settings& settings, unsigned waiting) {
  clean(settings);
  Bench bench(settings);
  std::uint64_t done = 0;
  const auto body = body_of(256);
  bool running = true;
  unsigned alive = 0;
  const auto submitter = [&]() -> Task<void> {
    while (running) {
      Submission submission{body, how(Durability::kSync)};
      auto result = co_await co::submit(*bench.engine, std::move(submission));
      if (!result) {
        fmt::print(stderr, "{}\n", result.error().to_string());
        std::exit(1);
      }
      ++done;
    }
    --alive;
  };
  std::vector<Task<void>> tasks;
  for (unsigned i = 0; i < waiting; ++i) {
    ++alive;
    tasks.push_back(submitter());
    tasks.back().start();
  }
  const auto warm = now_s() + 0.5;
  bench.run_until([&] { return now_s() > warm; });
  const auto started = now_s();
  const auto before = done;
  const auto end = started + settings.seconds;
  // A pump that completes inline comes back here only when nobody submits at once: look at the clock there, too.
  bench.run_until([&] {
    running = now_s() < end;
    return !running;
  });
  const auto rate = static_cast<double>(done - before) / (now_s() - started);
  bench.run_until([&] { return alive == 0; });
  const auto metrics = bench.engine->metrics();
  fmt::print(
      "  sync submit, {:>3} waiting submitters                        {:>10.0f} /s   ({:.1f} a batch, p99 {:.0f} "
      "us){}\n",
      waiting, rate, metrics.batch_records.mean, metrics.submit_latency.p99 * 1e6,
      waiting == 64 ? "   (goal 150,000)" : "");
}

void restore(const Settings& settings) {
  clean(settings);
  const auto body = body_of(256);
  {
    Bench bench(settings);
    std::uint64_t answered = 0, asked = 0;
    while (asked < settings.messages) {
      for (int i = 0; i < 1000 && asked < settings.messages; ++i, ++asked) {
        bench.engine->submit({body, how(Durability::kSync)}, [&](Result<Submitted> result) {
          if (!result) {
            fmt::print(stderr, "{}\n", result.error().to_string());
            std::exit(1);
          }
          ++answered;
        });
      }
      bench.run_until([&] { return answered == asked; });
    }
    bench.stop();
  }
  ::malloc_trim(0);
  const auto before = resident_bytes();
  const auto started = now_s();
  const auto started_cpu = cpu_s();
  Bench bench(settings);
  const auto took = now_s() - started;
  const auto took_cpu = cpu_s() - started_cpu;
  const auto depth = bench.engine->depth().total();
  fmt::print(
      "  restore of {:L} messages of 256 bytes                 {:>10.2f} s   (goal 1 for a million; {:.2f} s of CPU, "
      "{:L} records, {} MiB)\n",
      depth, took, took_cpu, bench.report.records, bench.report.bytes >> 20);
  // The buffer that recovery read into is given back, and so is not counted.
  ::malloc_trim(0);
  const auto after = resident_bytes();
  const auto per_message = static_cast<double>(after - std::min(after, before)) / static_cast<double>(depth);
  fmt::print("  memory beside the body, a message                          {:>10.0f} bytes   (goal 200)\n",
             per_message - static_cast<double>(body.size()));
}

int run(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i], value = argv[i + 1];
    if (key == "--dir") settings.dir = std::filesystem::path(value) / "qh-bench-queue";
    if (key == "--messages") settings.messages = std::stoull(value);
    if (key == "--only") settings.only = value;
    if (key == "--seconds") settings.seconds = std::stod(value);
    if (key == "--in-flight") settings.in_flight = static_cast<unsigned>(std::stoul(value));
    if (key == "--method") {
      settings.method = value == "direct"  ? WriteMethod::kDirect
                        : value == "dsync" ? WriteMethod::kDsync
                                           : WriteMethod::kFdatasync;
    }
  }
  clean(settings);
  fmt::print("queue, in {} ({} in flight)\n", settings.dir.string(), settings.in_flight);
  const auto wanted = [&](std::string_view part) { return settings.only.empty() || settings.only == part; };
  if (wanted("raw")) raw_disk(settings, 4096);
  if (wanted("raw")) raw_disk(settings, 24U << 10);
  if (wanted("async")) async_submit_take(settings);
  for (const unsigned waiting : {1U, 16U, 64U, 256U}) {
    if (wanted("sync")) sync_submits(settings, waiting);
  }
  if (wanted("restore")) restore(settings);
  std::filesystem::remove_all(settings.dir);
  return 0;
}

}  // namespace
}  // namespace qh::queue

int main(int argc, char** argv) { return qh::queue::run(argc, argv); }
