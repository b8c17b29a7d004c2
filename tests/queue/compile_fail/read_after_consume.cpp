#include "queue/engine.h"

qh::queue::MessageId read_after(qh::queue::Taken taken) {
  static_cast<void>(std::move(taken).consume());
  return taken->id;
}
