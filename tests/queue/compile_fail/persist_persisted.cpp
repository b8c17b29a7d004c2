#include "queue/type_state.h"

using namespace qh::queue;
void persist_twice(ValidatorQueue& queue, TypeStateMessage<Persisted> persisted) {
  static_cast<void>(std::move(persisted).persist(queue));
}
