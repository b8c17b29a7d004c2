#include "queue/engine.h"

qh::queue::Taken copy(const qh::queue::Taken& taken) { return taken; }
