#include "queue/type_state.h"

using namespace qh::queue;
void twice(TypeStateMessage<Persisted> persisted) {
  static_cast<void>(std::move(persisted).consume());
  static_cast<void>(std::move(persisted).consume());
}
