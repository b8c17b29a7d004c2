// The control: what is allowed compiles, under both compilers, so that the others fail for their reason alone.
#include "queue/type_state.h"

using namespace qh::queue;

QueuedMessage once(Taken taken) { return std::move(taken).consume(); }

qh::Result<QueuedMessage> walk(ValidatorQueue& queue, Message message) {
  auto persisted = TypeStateMessage<Queued>(std::move(message)).persist(queue);
  if (!persisted) return qh::fail(persisted.error());
  auto consumed = std::move(*persisted).consume();
  if (!consumed) return qh::fail(consumed.error());
  return std::move(*consumed).into_inner();
}
