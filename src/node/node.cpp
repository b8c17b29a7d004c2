#include "node/node.h"

#include <algorithm>
#include <chrono>
#include <list>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "node/back_off.h"
#include "node/log.h"

namespace qh::node {
namespace {

namespace asio = boost::asio;

std::string milliseconds_text(Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) + " ms";
}

}  // namespace

std::string_view state_name(ValidatorState state) {
  switch (state) {
    case ValidatorState::kStarting:
      return "starting";
    case ValidatorState::kRunning:
      return "running";
    case ValidatorState::kRestarting:
      return "restarting";
    case ValidatorState::kFailed:
      return "failed";
    case ValidatorState::kStopping:
      return "stopping";
    case ValidatorState::kStopped:
      return "stopped";
  }
  return "unknown";
}

class Node::Impl {
 public:
  Impl(asio::io_context& loop, NodeOptions options, FrontFactory front, UniqueFunction<void()> changed)
      : loop_(loop), options_(std::move(options)), front_(std::move(front)), changed_(std::move(changed)) {
    for (auto& one : options_.validators) place(std::move(one));
  }

  std::vector<Error> bind() {
    std::vector<Error> errors;
    for (auto& slot : slots_) {
      slot.validator = std::make_unique<Validator>(slot.options, front_);
      if (auto bound = slot.validator->bind(); !bound) errors.push_back(std::move(bound.error()));
    }
    return errors;
  }

  std::vector<Error> take_data() {
    std::vector<Slot*> by_name;
    for (auto& slot : slots_) by_name.push_back(&slot);
    std::sort(by_name.begin(), by_name.end(), [](auto* a, auto* b) { return a->options.name < b->options.name; });
    std::vector<Error> errors;
    for (auto* slot : by_name) {
      auto taken = slot->validator->take_data();
      if (taken) continue;
      const bool busy = taken.error().code == Errc::kBusy;
      errors.push_back(std::move(taken.error()).in(slot->options.name));
      if (busy) break;  // whoever has this one needs the next
    }
    return errors;
  }

  void start() {
    for (auto& slot : slots_) run(slot);
  }

  void request_stop() {
    stopping_ = true;
    for (auto& slot : slots_) stop(slot);
  }

  Result<void> add(const std::string& name, std::uint16_t port) {
    if (find(name) != nullptr) return fail(Errc::kBusy, "there is a validator " + name + " already");
    if (slots_.size() >= options_.validators_max)
      return fail(Errc::kInvalid, "a node has at most " + std::to_string(options_.validators_max) + " validators");
    auto made = options_.make(name, port);
    if (!made) return fail(std::move(made.error()));
    auto& slot = place(std::move(*made));
    auto begun = begin(slot);
    if (!begun) slots_.pop_back();
    return begun;
  }

  Result<void> start(const std::string& name) {
    auto* slot = find(name);
    if (slot == nullptr) return unknown(name);
    if (slot->validator != nullptr || stopping_)
      return fail(Errc::kBusy, name + " is " + std::string(state_name(slot->report.state)));
    return begin(*slot);
  }

  Result<void> stop(const std::string& name) {
    auto* slot = find(name);
    if (slot == nullptr) return unknown(name);
    stop(*slot);
    return {};
  }

  std::vector<ValidatorReport> report() const {
    std::vector<ValidatorReport> reports;
    for (const auto& slot : slots_) reports.push_back(slot.report);
    return reports;
  }

 private:
  /// A validator's place: it outlives the Validator in it, which is made anew for each start.
  struct Slot {
    explicit Slot(asio::io_context& loop) : retry(loop) {}

    ValidatorOptions options;
    ValidatorReport report;
    std::unique_ptr<Validator> validator;
    std::uint64_t life = 0;  ///< of the validator in it: news of one before it are void
    bool has_run = false;
    BackOff back_off;
    std::optional<MonoTime> running_since;  ///< of the validator in it
    asio::steady_timer retry;
  };

  static tl::unexpected<Error> unknown(const std::string& name) {
    return fail(Errc::kNotFound, "there is no validator " + name);
  }

  Slot& place(ValidatorOptions options) {
    auto& slot = slots_.emplace_back(loop_);
    slot.report.name = options.name;
    slot.report.port = options.port;
    slot.report.binary_port = options.binary_port;
    slot.report.directory = options.directory;
    slot.options = std::move(options);
    return slot;
  }

  Slot* find(const std::string& name) {
    const auto found =
        std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.options.name == name; });
    return found == slots_.end() ? nullptr : &*found;
  }

  void set(Slot& slot, ValidatorState state) {
    slot.report.state = state;
    changed_();
  }

  // -- One start ---------------------------------------------------------------------------------------

  Result<void> begin(Slot& slot) {
    slot.retry.cancel();
    slot.validator = std::make_unique<Validator>(slot.options, front_);
    if (auto bound = slot.validator->bind(); !bound) {
      slot.validator.reset();
      return bound;
    }
    run(slot);
    return {};
  }

  void run(Slot& slot) {
    const auto life = ++slot.life;
    slot.running_since.reset();
    const auto told = [this, &slot, life](auto react) {
      return [this, &slot, life, react](auto news) {
        asio::post(loop_, [this, &slot, life, react, news = std::move(news)]() mutable {
          if (slot.life == life) (this->*react)(slot, std::move(news));
        });
      };
    };
    ValidatorHooks hooks;
    hooks.started = told(&Impl::started);
    hooks.stopped = told(&Impl::stopped);
    hooks.figures = told(&Impl::figures);
    hooks.ask = [this, &slot, life](rpc::NodeRequest request, std::uint64_t ticket) {
      asio::post(loop_, [this, &slot, life, ticket, request = std::move(request)] {
        if (slot.life == life && slot.validator) slot.validator->answer(ticket, carry_out(request));
      });
    };
    set(slot, ValidatorState::kStarting);
    slot.validator->start(std::move(hooks));
  }

  void stop(Slot& slot) {
    slot.retry.cancel();
    if (slot.validator) {
      slot.validator->request_stop();
      return set(slot, ValidatorState::kStopping);
    }
    if (slot.report.state != ValidatorState::kFailed) set(slot, ValidatorState::kStopped);
  }

  // -- News ----------------------------------------------------------------------------------------------

  void started(Slot& slot, Result<Started> result) {
    if (!result) {
      if (slot.report.state == ValidatorState::kStarting) slot.report.error = std::move(result.error());
      return;  // stopped() follows
    }
    slot.report.started = std::move(*result);
    slot.running_since = clock_.mono();
    if (std::exchange(slot.has_run, true)) log_info(slot.options.name, "runs again");
    if (slot.report.state == ValidatorState::kStarting) set(slot, ValidatorState::kRunning);
  }

  void figures(Slot& slot, queue::Metrics metrics) {
    slot.report.figures = std::move(metrics);
    slot.report.figures_at = clock_.mono();
  }

  void stopped(Slot& slot, Result<void> result) {
    const bool wanted = slot.report.state == ValidatorState::kStopping;
    if (wanted && !result && result.error().code != Errc::kShuttingDown)
      slot.report.stop_error = std::move(result.error());
    else if (!wanted && !result)
      slot.report.error = std::move(result.error());
    slot.validator.reset();  // its thread is at its end
    slot.report.figures.reset();
    if (wanted) {
      if (!stopping_) log_info(slot.options.name, "stopped, as it was asked to");
      return set(slot, ValidatorState::kStopped);
    }
    if (!slot.has_run) return set(slot, ValidatorState::kFailed);
    restart_later(slot);
  }

  void restart_later(Slot& slot) {
    std::optional<Duration> ran;
    if (const auto since = std::exchange(slot.running_since, std::nullopt)) ran = clock_.mono() - *since;
    const auto delay = slot.back_off.after_error(ran);
    const auto why = slot.report.error ? slot.report.error->to_string() : "it ended";
    log_error(slot.options.name, why + "; it is started again in " + milliseconds_text(delay));
    ++slot.report.restarts;
    set(slot, ValidatorState::kRestarting);
    slot.retry.expires_after(delay);
    slot.retry.async_wait([this, &slot](const boost::system::error_code& error) {
      if (error || slot.validator) return;
      if (auto begun = begin(slot); !begun) {
        slot.report.error = std::move(begun.error());
        restart_later(slot);
      }
    });
  }

  // -- What callers ask ------------------------------------------------------------------------------------

  rpc::NodeAnswer carry_out(const rpc::NodeRequest& request) {
    Result<void> done;
    if (request.what == rpc::NodeRequest::What::kAdd) done = add(request.name, request.port);
    if (request.what == rpc::NodeRequest::What::kStart) done = start(request.name);
    if (request.what == rpc::NodeRequest::What::kStop) done = stop(request.name);
    if (!done) return fail(std::move(done.error()));
    std::vector<rpc::ValidatorStatus> list;
    for (const auto& slot : slots_) {
      if (request.what != rpc::NodeRequest::What::kList && slot.options.name != request.name) continue;
      const auto& report = slot.report;
      list.push_back({report.name, report.port, report.binary_port, std::string(state_name(report.state)),
                      report.restarts, report.error ? report.error->to_string() : std::string()});
    }
    return list;
  }

  asio::io_context& loop_;
  NodeOptions options_;
  FrontFactory front_;
  UniqueFunction<void()> changed_;
  SystemClock clock_;
  bool stopping_ = false;
  std::list<Slot> slots_;  // last: their threads use the rest
};

Node::Node(asio::io_context& loop, NodeOptions options, FrontFactory front, UniqueFunction<void()> changed)
    : impl_(std::make_unique<Impl>(loop, std::move(options), std::move(front), std::move(changed))) {}
Node::~Node() = default;

std::vector<Error> Node::bind() { return impl_->bind(); }
std::vector<Error> Node::take_data() { return impl_->take_data(); }
void Node::start() { impl_->start(); }
void Node::request_stop() { impl_->request_stop(); }
Result<void> Node::add(const std::string& name, std::uint16_t port) { return impl_->add(name, port); }
Result<void> Node::start(const std::string& name) { return impl_->start(name); }
Result<void> Node::stop(const std::string& name) { return impl_->stop(name); }
std::vector<ValidatorReport> Node::report() const { return impl_->report(); }

}  // namespace qh::node
