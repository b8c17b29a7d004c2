// queue/await.h - the engine's calls for co_await.
//
//   Submission submission{encode(message).value(), options};
//   auto submitted = co_await co::submit(engine, std::move(submission));
//
// Plain awaitables: they suit any coroutine type that does not forbid foreign ones (qh::Task, for one). A
// call that completes at once does not suspend.
//
// GCC 12 destroys a braced temporary inside a co_await expression twice: give it a name, as above.
//
// Errors    as the calls in queue/engine.h.
// Threads   the engine's owner: that is where they are awaited and resumed.
// Lifetime  do not destroy a coroutine that waits here; end waits with Engine::cancel or a deadline.
#pragma once

#include "base/task.h"
#include "queue/engine.h"

namespace qh::queue::co {

inline auto open(Engine& e) {
  return until<Result<RecoveryReport>>([&e](auto done) { e.open(std::move(done)); });
}
inline auto submit(Engine& e, Submission submission) {
  return until<Result<Submitted>>(
      [&e, s = std::move(submission)](auto done) mutable { e.submit(std::move(s), std::move(done)); });
}
inline auto submit_batch(Engine& e, std::vector<Submission> submissions) {
  return until<Result<std::vector<Submitted>>>(
      [&e, s = std::move(submissions)](auto done) mutable { e.submit_batch(std::move(s), std::move(done)); });
}
inline auto take(Engine& e, Engine::HandOut request) {
  return until<Result<std::optional<Taken>>>([&e, request](auto done) { e.take(request, std::move(done)); });
}
inline auto lease(Engine& e, Engine::HandOut request, std::uint32_t max, Duration duration) {
  return until<Result<std::vector<Leased>>>(
      [&e, request, max, duration](auto done) { e.lease(request, max, duration, std::move(done)); });
}
inline auto ack(Engine& e, std::vector<LeaseId> leases) {
  return until<Result<LeaseOutcome>>(
      [&e, l = std::move(leases)](auto done) mutable { e.ack(std::move(l), std::move(done)); });
}
inline auto nack(Engine& e, std::vector<LeaseId> leases, std::optional<Duration> delay, std::string error) {
  return until<Result<LeaseOutcome>>([&e, l = std::move(leases), delay, error = std::move(error)](auto done) mutable {
    e.nack(std::move(l), delay, std::move(error), std::move(done));
  });
}
inline auto hold(Engine& e, std::vector<LeaseId> leases) {
  return until<Result<LeaseOutcome>>(
      [&e, l = std::move(leases)](auto done) mutable { e.hold(std::move(l), std::move(done)); });
}
inline auto stop(Engine& e) {
  return until<Result<void>>([&e](auto done) { e.stop(std::move(done)); });
}

}  // namespace qh::queue::co
