// A durable queue in forty lines: run it, kill it at any moment, run it again.
//
//   build/release/bin/queue_example /tmp/example put 3    three messages, each on disk before its line is printed
//   build/release/bin/queue_example /tmp/example take     hands out what is there, each at most once
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "queue/validator_queue.h"

using qh::queue::Gossip;
using qh::queue::QppSyncSubmit;
using qh::queue::QueuedMessage;
using qh::queue::ValidatorQueue;

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: queue_example DIRECTORY put COUNT | queue_example DIRECTORY take\n", stderr);
    return 2;
  }
  auto queue = ValidatorQueue::open(argv[1]);
  if (!queue) {
    std::fprintf(stderr, "%s\n", queue.error().to_string().c_str());
    return 1;
  }
  if (std::string_view(argv[2]) == "put") {
    const int count = argc > 3 ? std::atoi(argv[3]) : 1;
    for (int i = 0; i < count; ++i) {
      const auto sent = QppSyncSubmit::execute(**queue, Gossip{"example", qh::to_bytes("hello")});
      if (!sent) return std::fprintf(stderr, "%s\n", sent.error().to_string().c_str()), 1;
      std::printf("message %llu is on disk\n", static_cast<unsigned long long>(sent.id().value()));
    }
    return 0;
  }
  while (auto taken = (*queue)->take().value()) {
    const QueuedMessage message = std::move(*taken).consume();
    std::printf("message %llu: %.*s\n", static_cast<unsigned long long>(message.id.value()), 5,
                reinterpret_cast<const char*>(std::get<Gossip>(message.message()).data.data()));
  }
}
