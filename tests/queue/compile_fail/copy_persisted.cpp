#include "queue/type_state.h"

using namespace qh::queue;
TypeStateMessage<Persisted> copy(const TypeStateMessage<Persisted>& persisted) { return persisted; }
