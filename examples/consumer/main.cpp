// consumer DIRECTORY put TEXT   ends when the text is on disk
// consumer DIRECTORY take       prints the oldest text, or ends with 3: a text is printed once, whatever happens
// between
#include <iostream>
#include <string_view>

#include "queue/validator_queue.h"

namespace queue = qh::queue;

int put(queue::ValidatorQueue& jobs, std::string_view text) {
  const auto sent = jobs.submit_sync(queue::Gossip{"job", qh::to_bytes(text)});
  if (!sent) return std::cerr << sent.error().to_string() << '\n', 1;
  std::cout << "job " << sent->id.value() << " is on disk\n";
  return 0;
}

int take(queue::ValidatorQueue& jobs) {
  auto taken = jobs.take();
  if (!taken) return std::cerr << taken.error().to_string() << '\n', 1;
  if (!*taken) return 3;
  const auto job = std::get<queue::Gossip>(std::move(**taken).consume().message());
  std::cout.write(reinterpret_cast<const char*>(job.data.data()), static_cast<std::streamsize>(job.data.size()))
      << '\n';
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 3) return std::cerr << "usage: consumer DIRECTORY put TEXT | consumer DIRECTORY take\n", 2;
  auto jobs = queue::ValidatorQueue::open(argv[1]);
  if (!jobs) return std::cerr << jobs.error().to_string() << '\n', 1;
  return std::string_view(argv[2]) == "put" && argc > 3 ? put(**jobs, argv[3]) : take(**jobs);
}
