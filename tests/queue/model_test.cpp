// The engine against a model that a reader checks by looking: random calls, the same answers, the same order
// and the same figures after each of them, also across stops and kills.
//
// RC_PARAMS="max_success=20000" for soak; RC_PARAMS="reproduce=..." as rapidcheck prints it.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "model_pair.h"

namespace qh::queue {
namespace {

void run(const PairOptions& options) {
  const auto steps = *rc::gen::resize(200, rc::gen::container<std::vector<Step>>(arbitrary_step()));
  Pair pair(options);
  for (const auto& step : steps) pair.apply(step);
}

RC_GTEST_PROP(QueueModel, AQueueDoesWhatItsModelDoes, ()) { run({}); }
RC_GTEST_PROP(QueueModel, AFairQueueDoesWhatItsModelDoes, ()) {
  run({.fairness = *rc::gen::inRange<std::uint32_t>(1, 5)});
}
RC_GTEST_PROP(QueueModel, AQueueOfFewKeysDoesWhatItsModelDoes, ()) {
  run({.keys_max = *rc::gen::inRange<std::uint32_t>(1, 4)});
}

}  // namespace
}  // namespace qh::queue
