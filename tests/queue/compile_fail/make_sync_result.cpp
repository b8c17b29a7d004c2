#include "queue/validator_queue.h"

using namespace qh::queue;
SyncResult pretend(Submitted submitted) { return SyncResult(submitted); }
