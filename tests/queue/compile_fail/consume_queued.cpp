#include "queue/type_state.h"

using namespace qh::queue;
void skip_persist(Message message) { static_cast<void>(TypeStateMessage<Queued>(std::move(message)).consume()); }
