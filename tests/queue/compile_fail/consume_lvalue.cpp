#include "queue/engine.h"

qh::queue::QueuedMessage keep_it(qh::queue::Taken& taken) { return taken.consume(); }
