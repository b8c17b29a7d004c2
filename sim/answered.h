// sim/answered.h - runs one asynchronous operation to its answer: for tests that go step by step.
//
//   const auto file = answered<FileId>(world, [&](auto done) { disk.open("f", OpenMode::kCreate, std::move(done)); });
//
// Errors   kTimeout: the events ran out first (the disk was cut, frozen or killed).
// Threads  one owner. An answer that comes after it gave up is dropped.
#pragma once

#include <memory>
#include <optional>

#include "base/result.h"
#include "base/unique_function.h"
#include "sim/sim_world.h"

namespace qh {

/// `step()` makes progress; false: there is none to make.
template <class T, class Start, class Step>
Result<T> answered_by(Step step, Start start) {
  const auto slot = std::make_shared<std::optional<Result<T>>>();
  start(UniqueFunction<void(Result<T>)>([slot](Result<T> result) {
    INVARIANT(!slot->has_value(), "an operation answered twice");
    slot->emplace(std::move(result));
  }));
  while (!slot->has_value() && step()) {
  }
  if (!slot->has_value()) return fail(Errc::kTimeout, "no answer");
  return std::move(**slot);
}

template <class T, class Start>
Result<T> answered(SimWorld& world, Start start) {
  return answered_by<T>([&] { return world.run_one(); }, std::move(start));
}

}  // namespace qh
