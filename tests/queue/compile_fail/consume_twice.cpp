#include "queue/engine.h"

void twice(qh::queue::Taken taken) {
  static_cast<void>(std::move(taken).consume());
  static_cast<void>(std::move(taken).consume());
}
