#include "node/node.h"

#include <mutex>
#include <utility>

namespace qh::node {

struct Node::Impl {
  void set(std::size_t index, auto change) {
    {
      const std::lock_guard hold(mutex);
      change(reports[index]);
    }
    changed();
  }

  void started(std::size_t index, Result<Started> result) {
    set(index, [&](ValidatorReport& report) {
      if (result) {
        report.state = ValidatorState::kRunning;
        report.started = std::move(*result);
      } else {
        report.state = ValidatorState::kFailed;
        report.error = std::move(result.error());
      }
    });
  }

  void stopped(std::size_t index, Result<void> result) {
    set(index, [&](ValidatorReport& report) {
      report.state = report.state == ValidatorState::kFailed ? ValidatorState::kFailed : ValidatorState::kStopped;
      if (!result) report.error = std::move(result.error());
    });
  }

  mutable std::mutex mutex;  ///< guards reports
  std::vector<ValidatorReport> reports;
  UniqueFunction<void()> changed;
  std::vector<std::unique_ptr<Validator>> validators;  // last: their threads use the rest
};

Node::Node(std::vector<ValidatorOptions> options, const FrontFactory& front, UniqueFunction<void()> changed)
    : impl_(std::make_unique<Impl>()) {
  impl_->changed = std::move(changed);
  for (auto& one : options) impl_->validators.push_back(std::make_unique<Validator>(std::move(one), front));
  impl_->reports.resize(impl_->validators.size());
}

Node::~Node() = default;

std::vector<Error> Node::bind() {
  std::vector<Error> errors;
  for (const auto& validator : impl_->validators) {
    if (auto bound = validator->bind(); !bound) errors.push_back(std::move(bound.error()));
  }
  return errors;
}

void Node::start() {
  for (std::size_t i = 0; i < impl_->validators.size(); ++i) {
    impl_->validators[i]->start([this, i](Result<Started> result) { impl_->started(i, std::move(result)); },
                                [this, i](Result<void> result) { impl_->stopped(i, std::move(result)); });
  }
}

void Node::request_stop() {
  for (const auto& validator : impl_->validators) validator->request_stop();
}

std::vector<ValidatorReport> Node::report() const {
  const std::lock_guard hold(impl_->mutex);
  std::vector<ValidatorReport> copy;
  copy.reserve(impl_->reports.size());
  for (const auto& report : impl_->reports) copy.push_back(report);
  return copy;
}

const std::vector<std::unique_ptr<Validator>>& Node::validators() const { return impl_->validators; }

}  // namespace qh::node
