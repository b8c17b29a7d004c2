#include "queue/engine.h"

void ack_the_message(qh::queue::Engine& engine, qh::queue::MessageId id) {
  engine.ack({id}, [](qh::Result<qh::queue::LeaseOutcome>) {});
}
