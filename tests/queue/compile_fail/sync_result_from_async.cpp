#include "queue/validator_queue.h"

using namespace qh::queue;
SyncResult pretend(ValidatorQueue& queue, const Message& message) { return QppAsyncSubmit::execute(queue, message); }
