#include "queue/type_state.h"

using namespace qh::queue;
TypeStateMessage<Persisted> invent(ValidatorQueue& queue, Leased held) {
  return TypeStateMessage<Persisted>(queue, std::move(held));
}
