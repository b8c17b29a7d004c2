#include "crash_worker.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

#include <unistd.h>

#include <fmt/format.h>

#include "queue/validator_queue.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// One line, in one write: what is shorter than PIPE_BUF arrives whole, also when the next instruction is never run.
void say(const std::string& line) {
  if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::_Exit(3);
}

std::uint64_t tag_of(const QueuedMessage& message) {
  const auto decoded = message.message();
  if (const auto* gossip = std::get_if<Gossip>(&decoded)) return std::stoull(gossip->topic);
  return std::stoull(std::get<Vote>(decoded).validator);
}

Message message_of(std::uint64_t tag, Rng& rng) {
  Bytes data(rng.below(10) == 0 ? rng.below(20'000) : rng.below(300), std::byte{7});
  if (rng.below(2) == 0) return Gossip{std::to_string(tag), std::move(data)};
  return Vote{std::to_string(tag), {}, std::move(data), {}};
}

class Worker {
 public:
  Worker(ValidatorQueue& queue, std::uint64_t life) : queue_(queue), life_(life) {}

  void inventory() {
    std::atomic<bool> told = false;
    queue_.post([&](Engine& engine) {
      engine.each([](const Found& found) {
        say(fmt::format("have {} {}\n", tag_of(*found.message), found.message->id.value()));
      });
      told = true;
      told.notify_one();
    });
    told.wait(false);
    say("ready\n");
  }

  void work(unsigned thread, std::uint64_t seed) {
    SeededRng rng(seed);
    while (true) {
      const auto choice = rng.below(20);
      if (choice < 9)
        submit(thread, rng);
      else if (choice < 13)
        take(thread);
      else if (choice < 18)
        lease(thread, rng);
      else if (choice == 18)
        compact();
      else
        batch(thread, rng);
    }
  }

 private:
  std::uint64_t next_tag(unsigned thread) { return life_ * 1'000'000'000 + thread * 10'000'000ULL + ++counts_[thread]; }

  static SubmitOptions durable() {
    SubmitOptions options;
    options.durability = Durability::kSync;
    options.submitted_by = "crash";
    return options;
  }

  void compact() {
    static_cast<void>(queue_.compact_wal());
    if (const auto metrics = queue_.metrics()) say(fmt::format("recycled {}\n", metrics->wal_recycles));
  }

  void submit(unsigned thread, Rng& rng) {
    const auto tag = next_tag(thread);
    say(fmt::format("submit {}\n", tag));
    const auto sent = queue_.submit_sync(message_of(tag, rng), durable());
    if (sent) say(fmt::format("submitted {} {}\n", tag, sent->id.value()));
  }

  void batch(unsigned thread, Rng& rng) {
    std::vector<std::pair<Message, SubmitOptions>> messages;
    std::string tags;
    for (int i = 0; i < 5; ++i) {
      const auto tag = next_tag(thread);
      say(fmt::format("submit {}\n", tag));
      messages.emplace_back(message_of(tag, rng), durable());
      tags += fmt::format(" {}", tag);
    }
    say(fmt::format("group{}\n", tags));
    const auto sent = queue_.submit_batch(messages);
    if (!sent) return;
    for (std::size_t i = 0; i < sent->size(); ++i) {
      const auto& m = messages[i].first;
      const auto name = std::holds_alternative<Gossip>(m) ? std::get<Gossip>(m).topic : std::get<Vote>(m).validator;
      say(fmt::format("submitted {} {}\n", name, sent->at(i).id.value()));
    }
  }

  void take(unsigned thread) {
    say(fmt::format("take {}\n", thread));
    auto taken = queue_.take();
    if (taken && *taken) {
      const auto message = std::move(**taken).consume();
      say(fmt::format("taken {} {} {}\n", thread, tag_of(message), message.id.value()));
    } else {
      say(fmt::format("nothing {}\n", thread));
    }
  }

  void lease(unsigned thread, Rng& rng) {
    auto leased = queue_.lease(1, seconds(30));
    if (!leased || leased->empty()) return;
    const auto& one = leased->front();
    const auto tag = tag_of(one.message);
    say(fmt::format("leased {} {}\n", tag, one.lease.value()));
    if (rng.below(4) == 0) {
      static_cast<void>(queue_.nack({one.lease}, milliseconds(rng.below(5)), "again"));
      return;
    }
    say(fmt::format("ack {} {}\n", thread, tag));
    const auto acked = queue_.ack({one.lease});
    if (acked && acked->done == 1) say(fmt::format("acked {} {}\n", thread, tag));
  }

  ValidatorQueue& queue_;
  std::uint64_t life_;
  std::array<std::uint64_t, kCrashThreads> counts_{};
};

}  // namespace

Options crash_options() {
  Options options;
  options.name = "crash";
  options.segment_bytes_min = 128U << 10;  // a life of some 30 ms is to see several
  options.segment_bytes_max = 512U << 10;
  options.max_message_bytes = 32U << 10;
  options.max_tx_bytes = 32U << 10;
  options.max_deliveries = 1000;
  return options;
}

int crash_worker(const char* directory, std::uint64_t life) {
  auto queue = ValidatorQueue::open(directory, crash_options());
  if (!queue) {
    say("failed " + queue.error().to_string() + "\n");
    return 1;
  }
  for (const auto& note : (*queue)->recovery().notes) say("note " + note + "\n");
  Worker worker(**queue, life);
  worker.inventory();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kCrashThreads; ++i) {
    threads.emplace_back([&, i] { worker.work(i, life * 31 + i); });
  }
  for (auto& thread : threads) thread.join();  // never: the parent kills this process
  return 0;
}

}  // namespace qh::queue
