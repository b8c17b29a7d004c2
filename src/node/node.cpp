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
using boost::system::error_code;
using State = ValidatorState;

/// Behind the bound of its own stop: for the last answers, and a slow last write.
constexpr Duration kStopSlack = std::chrono::seconds(2);

std::string milliseconds_text(Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) + " ms";
}

/// What another start would find as it is.
bool is_final(const std::optional<Error>& error) {
  return error &&
         (error->code == Errc::kCorrupt || error->code == Errc::kNewerVersion || error->code == Errc::kNotFound);
}

}  // namespace

class Node::Impl {
 public:
  Impl(asio::io_context& loop, NodeOptions options, FrontFactory front, UniqueFunction<void()> changed)
      : loop_(loop), options_(std::move(options)), front_(std::move(front)), changed_(std::move(changed)) {
    for (auto& one : options_.validators) place(std::move(one)).report.configured = true;
  }

  std::vector<Error> bind() {
    std::vector<Error> errors;
    for (auto& slot : slots_) {
      if (auto bound = bind(slot); !bound) errors.push_back(std::move(bound.error()));
    }
    return errors;
  }

  Result<void> take_first_data() {
    const auto by_name = [](const Slot& a, const Slot& b) { return a.options.name < b.options.name; };
    const auto& first = *std::min_element(slots_.begin(), slots_.end(), by_name);
    auto taken = first.validator->take_data();
    if (!taken) return fail(std::move(taken.error()).in(first.options.name));
    return taken;
  }

  void start() {
    for (auto& slot : slots_) slot.report.state = State::kStarting;  // none is the last one before all were tried
    for (auto& slot : slots_) {
      if (auto begun = run(slot); !begun) {
        slot.report.error = std::move(begun.error());
        set(slot, State::kFailed);
      }
    }
  }

  void request_stop() {
    stopping_ = true;
    for (auto& slot : slots_) stop(slot);
  }

  Result<ValidatorReport> add(const std::string& name, std::uint16_t port) {
    if (stopping_) return too_late();
    if (find(name) != nullptr) return fail(Errc::kBusy, "there is a validator " + name + " already");
    if (slots_.size() >= options_.validators_max)
      return fail(Errc::kInvalid, "a node has at most " + std::to_string(options_.validators_max) + " validators");
    auto made = options_.make(name, port);
    if (!made) return fail(std::move(made.error()));
    auto& slot = place(std::move(*made));
    if (auto begun = begin(slot); !begun) {
      slots_.pop_back();
      return fail(std::move(begun.error()));
    }
    return slot.report;
  }

  Result<ValidatorReport> start(const std::string& name) {
    if (stopping_) return too_late();
    auto* slot = find(name);
    if (slot == nullptr) return unknown(name);
    if (slot->report.hung) return fail(Errc::kBusy, name + ": " + slot->report.error->to_string());
    if (slot->validator != nullptr)
      return fail(Errc::kBusy, name + " is " + std::string(state_name(slot->report.state)));
    if (auto begun = begin(*slot); !begun) {
      if (slot->report.state == State::kRestarting) restart_later(*slot);
      return fail(std::move(begun.error()));
    }
    return slot->report;
  }

  Result<ValidatorReport> stop(const std::string& name) {
    auto* slot = find(name);
    if (slot == nullptr) return unknown(name);
    if (slot->report.hung) return fail(Errc::kBusy, name + ": " + slot->report.error->to_string());
    if (is_last(*slot)) {
      return fail(Errc::kBusy, name +
                                   " is the last validator that runs, and without its port nothing could start one "
                                   "again: stop the node instead (SIGTERM)");
    }
    if (slot->report.state == State::kFailed) return give_up(*slot);
    stop(*slot);
    return slot->report;
  }

  std::vector<ValidatorReport> report() const {
    std::vector<ValidatorReport> reports;
    for (const auto& slot : slots_) reports.push_back(slot.report);
    return reports;
  }

 private:
  /// A validator's place: it outlives the Validator in it, which is made anew for each start.
  struct Slot {
    explicit Slot(asio::io_context& loop) : retry(loop), overdue(loop) {}

    ValidatorOptions options;
    ValidatorReport report;
    std::unique_ptr<Validator> validator;
    std::uint64_t life = 0;  ///< of the validator in it, as no other has; 0: there is none. Later news are void
    bool is_first = true;    ///< start
    bool has_run = false;
    BackOff back_off;
    std::optional<MonoTime> running_since;  ///< of the validator in it
    asio::steady_timer retry, overdue;
  };

  static tl::unexpected<Error> unknown(const std::string& name) {
    return fail(Errc::kNotFound, "there is no validator " + name);
  }
  static tl::unexpected<Error> too_late() { return fail(Errc::kShuttingDown, "the node is stopping"); }

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

  Slot* of_life(std::uint64_t life) {
    const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.life == life; });
    return found == slots_.end() ? nullptr : &*found;
  }

  /// Only a port of one that runs can start others again.
  bool is_last(const Slot& slot) const {
    return slot.validator != nullptr && std::none_of(slots_.begin(), slots_.end(), [&](const Slot& other) {
             return &other != &slot && other.report.state == State::kRunning;
           });
  }

  void set(Slot& slot, State state) {
    slot.report.state = state;
    changed_();
  }

  // -- One start ---------------------------------------------------------------------------------------

  Result<void> begin(Slot& slot) {
    slot.retry.cancel();
    if (auto bound = bind(slot); !bound) return bound;
    return run(slot);
  }

  Result<void> bind(Slot& slot) {
    auto made = Validator::make(slot.options, front_);
    if (!made) return fail(std::move(made.error()));
    if (auto bound = (*made)->bind(); !bound) return bound;
    slot.validator = std::move(*made);
    return {};
  }

  Result<void> run(Slot& slot) {
    slot.life = ++lives_;
    slot.running_since.reset();
    slot.report.turned_at = clock_.mono();
    if (auto begun = slot.validator->start(hooks(slot.life)); !begun) {
      slot.validator.reset();
      slot.life = 0;
      return begun;
    }
    slot.report.stop_error.reset();
    set(slot, State::kStarting);
    return {};
  }

  ValidatorHooks hooks(std::uint64_t life) {
    ValidatorHooks hooks;
    hooks.started = told(life, &Impl::started);
    hooks.stopped = told(life, &Impl::stopped);
    hooks.pulse = told(life, &Impl::turned);
    hooks.ask = [this, life](rpc::NodeRequest request, std::uint64_t ticket) {
      asio::post(loop_, [this, life, ticket, request = std::move(request)] {
        if (of_life(life) == nullptr) return;  // nobody waits any more
        auto answer = carry_out(request);
        if (auto* slot = of_life(life)) slot->validator->answer(ticket, std::move(answer));
      });
    };
    return hooks;
  }

  /// Brings news from the validator's thread to ours, unless there is another one in its place by then.
  template <class News>
  UniqueFunction<void(News)> told(std::uint64_t life, void (Impl::*react)(Slot&, News)) {
    return [this, life, react](News news) {
      asio::post(loop_, [this, life, react, news = std::move(news)]() mutable {
        if (auto* slot = of_life(life)) (this->*react)(*slot, std::move(news));
      });
    };
  }

  // -- One stop ----------------------------------------------------------------------------------------

  void stop(Slot& slot) {
    slot.retry.cancel();
    if (!slot.validator) {
      if (slot.report.state != State::kFailed) set(slot, State::kStopped);
      return;
    }
    if (slot.report.state == State::kStopping || slot.report.hung) return;
    slot.validator->request_stop();
    slot.overdue.expires_after(slot.options.queue.stop_within + kStopSlack);
    slot.overdue.async_wait([this, life = slot.life](const error_code& error) {
      auto* late = of_life(life);
      if (!error && late != nullptr && late->report.state == State::kStopping) leave_behind(*late);
    });
    set(slot, State::kStopping);
  }

  /// What hangs holds whoever waits for it, and there is no way to make it let go: not this thread as well.
  void leave_behind(Slot& slot) {
    slot.report.hung = true;
    slot.report.figures.reset();
    slot.report.error = Error(Errc::kTimeout, why_it_hangs(slot) +
                                                  ", so its stop has not ended in time and it is left behind as it "
                                                  "is. When it goes on, it stops by itself; else restart the node");
    log_error(slot.options.name, slot.report.error->to_string());
    set(slot, State::kFailed);
  }

  /// A loop that turns, and has not stopped yet, waits for what its disk's threads do.
  std::string why_it_hangs(const Slot& slot) {
    const auto still = clock_.mono() - slot.report.turned_at;
    if (slot.validator->waits_for_disk() || still < kStopSlack) return "its disk does not answer";
    return "its loop has not turned for " +
           std::to_string(std::chrono::duration_cast<std::chrono::seconds>(still).count()) + " s";
  }

  /// One that has failed and that nobody wants any more.
  ValidatorReport give_up(Slot& slot) {
    if (slot.report.configured) {
      set(slot, State::kStopped);
      return slot.report;
    }
    auto last = slot.report;
    last.state = State::kStopped;
    slots_.remove_if([&](const Slot& one) { return &one == &slot; });
    log_info(last.name, "had failed, and is forgotten");
    changed_();
    return last;
  }

  // -- News ----------------------------------------------------------------------------------------------

  void started(Slot& slot, Result<Started> result) {
    if (!result) {
      if (slot.report.state == State::kStarting) slot.report.error = std::move(result.error());
      return;  // stopped() follows
    }
    slot.report.started = std::move(*result);
    slot.options.queue_id = slot.report.started->recovery.queue_id;
    slot.running_since = clock_.mono();
    const bool again = std::exchange(slot.has_run, true);
    if (slot.report.state != State::kStarting) return;
    // Those of the start are announced together.
    if (!tells_itself(slot)) log_info(slot.options.name, (again ? "runs again, " : "") + ready_text(slot.report));
    slot.is_first = false;
    slot.report.error.reset();
    set(slot, State::kRunning);
  }

  /// The first start of a configured one: whoever started the node says what became of it.
  static bool tells_itself(const Slot& slot) { return slot.report.configured && slot.is_first; }

  void turned(Slot& slot, std::optional<queue::Metrics> figures) {
    slot.report.turned_at = clock_.mono();
    if (figures) slot.report.figures = std::move(figures);
  }

  void stopped(Slot& slot, Result<void> result) {
    slot.overdue.cancel();
    slot.validator.reset();  // its thread is at its end
    slot.life = 0;
    slot.report.figures.reset();
    if (slot.report.state == State::kStopping || slot.report.hung) return stopped_as_asked(slot, std::move(result));
    if (!result) slot.report.error = std::move(result.error());
    if (!slot.has_run || is_final(slot.report.error)) return failed(slot);
    restart_later(slot);
  }

  void stopped_as_asked(Slot& slot, Result<void> result) {
    slot.is_first = false;
    slot.report.error.reset();
    const bool well = result || result.error().code == Errc::kShuttingDown;
    if (!well) slot.report.stop_error = std::move(result.error());
    if (std::exchange(slot.report.hung, false)) log_warn(slot.options.name, "it goes on");
    if (!stopping_ && !well)
      log_error(slot.options.name, "stopped, as it was asked to, but " + slot.report.stop_error->to_string());
    if (!stopping_ && well) log_info(slot.options.name, "stopped, as it was asked to");
    set(slot, State::kStopped);
  }

  void failed(Slot& slot) {
    const auto why = slot.report.error ? slot.report.error->to_string() : std::string("it ended");
    const bool ran = slot.running_since.has_value();
    if (!tells_itself(slot)) log_error(slot.options.name, (ran ? "has ended: " : "cannot start: ") + why);
    // What was acknowledged is not there any more: whoever stops the node shall know.
    if (slot.has_run && slot.report.error && slot.report.error->code == Errc::kNotFound)
      slot.report.stop_error = slot.report.error;
    slot.is_first = false;
    set(slot, State::kFailed);
  }

  void restart_later(Slot& slot) {
    std::optional<Duration> ran;
    if (const auto since = std::exchange(slot.running_since, std::nullopt)) ran = clock_.mono() - *since;
    const auto delay = slot.back_off.after_error(ran);
    const auto why = slot.report.error ? slot.report.error->to_string() : "it ended";
    log_error(slot.options.name, why + "; it is started again in " + milliseconds_text(delay));
    ++slot.report.restarts;
    set(slot, State::kRestarting);
    slot.life = ++lives_;  // of the wait
    slot.retry.expires_after(delay);
    slot.retry.async_wait([this, life = slot.life](const error_code& error) {
      auto* waiting = of_life(life);
      // One that was cancelled when it was due already comes without an error.
      if (error || waiting == nullptr || waiting->report.state != State::kRestarting) return;
      if (auto begun = begin(*waiting); !begun) {
        waiting->report.error = std::move(begun.error());
        restart_later(*waiting);
      }
    });
  }

  // -- What callers ask ------------------------------------------------------------------------------------

  rpc::NodeAnswer carry_out(const rpc::NodeRequest& request) {
    using What = rpc::NodeRequest::What;
    std::vector<rpc::ValidatorStatus> list;
    if (request.what == What::kList) {
      for (const auto& slot : slots_) list.push_back(status(slot.report));
      return list;
    }
    const auto done = request.what == What::kAdd     ? add(request.name, request.port)
                      : request.what == What::kStart ? start(request.name)
                                                     : stop(request.name);
    if (!done) return fail(done.error());
    list.push_back(status(*done));
    return list;
  }

  static rpc::ValidatorStatus status(const ValidatorReport& report) {
    const auto& error = report.error ? report.error : report.stop_error;
    return {report.name,        report.port,
            report.binary_port, std::string(state_name(report.state)),
            report.restarts,    error ? error->to_string() : std::string()};
  }

  asio::io_context& loop_;
  NodeOptions options_;
  FrontFactory front_;
  UniqueFunction<void()> changed_;
  SystemClock clock_;
  bool stopping_ = false;
  std::uint64_t lives_ = 0;
  std::list<Slot> slots_;  // last: their threads use the rest
};

Node::Node(asio::io_context& loop, NodeOptions options, FrontFactory front, UniqueFunction<void()> changed)
    : impl_(std::make_unique<Impl>(loop, std::move(options), std::move(front), std::move(changed))) {}
Node::~Node() = default;

std::vector<Error> Node::bind() { return impl_->bind(); }
Result<void> Node::take_first_data() { return impl_->take_first_data(); }
void Node::start() { impl_->start(); }
void Node::request_stop() { impl_->request_stop(); }
Result<ValidatorReport> Node::add(const std::string& name, std::uint16_t port) { return impl_->add(name, port); }
Result<ValidatorReport> Node::start(const std::string& name) { return impl_->start(name); }
Result<ValidatorReport> Node::stop(const std::string& name) { return impl_->stop(name); }
std::vector<ValidatorReport> Node::report() const { return impl_->report(); }

}  // namespace qh::node
