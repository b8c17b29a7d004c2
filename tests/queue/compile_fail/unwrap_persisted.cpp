#include "queue/type_state.h"

using namespace qh::queue;
QueuedMessage too_early(TypeStateMessage<Persisted> persisted) { return std::move(persisted).into_inner(); }
