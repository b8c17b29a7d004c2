#include "serve/run_node.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "base/invariant.h"
#include "node/log.h"
#include "node/node.h"
#include "node/service_notify.h"
#include "node/start_screen.h"
#include "qh/version.h"
#include "serve/rpc_front.h"

namespace qh::serve {
namespace {

using node::ValidatorState;

constexpr int kExitFailed = 1, kExitUsage = 2, kExitTimedOut = 5;

/// The signals that stop us and the news of the validators, as two descriptors to wait on.
class Events {
 public:
  Events() {
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t stops;
    sigemptyset(&stops);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&stops, signal);
    pthread_sigmask(SIG_BLOCK, &stops, nullptr);
    signals_ = ::signalfd(-1, &stops, SFD_CLOEXEC);
    news_ = ::eventfd(0, EFD_CLOEXEC);
    INVARIANT(signals_ >= 0 && news_ >= 0, "two descriptors can be had at the start");
  }
  ~Events() {
    ::close(signals_);
    ::close(news_);
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  /// From any thread.
  void tell() const {
    const std::uint64_t one = 1;
    (void)!::write(news_, &one, sizeof one);
  }

  /// Blocks until there is news, `deadline` or a signal; answers the signal.
  std::optional<int> wait(std::chrono::steady_clock::time_point deadline) const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    std::array<pollfd, 2> fds{pollfd{signals_, POLLIN, 0}, pollfd{news_, POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000))) <= 0)
      return std::nullopt;
    if ((fds[1].revents & POLLIN) != 0) {
      std::uint64_t count = 0;
      (void)!::read(news_, &count, sizeof count);
    }
    signalfd_siginfo info{};
    if ((fds[0].revents & POLLIN) != 0 && ::read(signals_, &info, sizeof info) == sizeof info) {
      return static_cast<int>(info.ssi_signo);
    }
    return std::nullopt;
  }

 private:
  int signals_ = -1, news_ = -1;
};

/// 4,096 connections a validator do not fit into the 1,024 descriptors that a shell gives.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

void complain(const Error& error) { std::fprintf(stderr, "quantumharmony-node: %s\n", error.to_string().c_str()); }

std::string port_hint(const node::Config& config) {
  if (config.settings.validator) return "Stop it, or take another port: --qssh-queue-port PORT";
  if (!config.dev) return "Stop it, or take other ports: qssh-queue-port in the configuration file, or --port-offset N";
  return "Stop it, or move every port: --port-offset " + std::to_string(config.settings.port_offset + 100);
}

Result<AccessRules> access_rules(const node::Settings& settings) {
  AccessRules rules;
  rules.allowed_origins = settings.allow_origin;
  rules.allowed_hosts = settings.allow_host;
  rules.require_token = settings.require_token;
  if (settings.rpc_token_file.empty()) return rules;
  auto tokens = TokenTable::load(settings.rpc_token_file);
  if (!tokens) return fail(std::move(tokens.error()));
  rules.tokens = std::move(*tokens);
  return rules;
}

class Run {
 public:
  explicit Run(const node::Config& config) : config_(config), terminal_(::isatty(STDOUT_FILENO) == 1) {}

  int run() {
    if (auto options = front_options(); !options) {
      complain(options.error());
      return kExitUsage;
    }
    raise_descriptor_limit();
    node_.emplace(
        config_.validators, [this](auto& loop, const auto& settings) { return make_rpc_front(loop, settings, front_); },
        [this] { events_.tell(); });
    const auto unbound = node_->bind();
    for (const auto& error : unbound) complain(error);
    if (!unbound.empty()) return kExitFailed;

    node_->start();
    while (!settled(ValidatorState::kStarting)) {
      if (const auto signal = events_.wait(never())) return stop(*signal);
    }
    if (report_failures()) return stop_after_failure();
    announce();
    for (;;) {
      if (const auto signal = events_.wait(never())) return stop(*signal);
    }
  }

 private:
  static std::chrono::steady_clock::time_point never() {
    return std::chrono::steady_clock::now() + std::chrono::hours(1);
  }

  Result<void> front_options() {
    front_.listen = config_.settings.listen;
    front_.port_flag_hint = port_hint(config_);
    auto access = access_rules(config_.settings);
    if (!access) return fail(std::move(access.error()));
    front_.access = std::move(*access);
    return {};
  }

  /// No validator is in this state any more.
  bool settled(ValidatorState state) const {
    const auto reports = node_->report();
    return std::none_of(reports.begin(), reports.end(), [&](const auto& report) { return report.state == state; });
  }
  bool all_ended() const {
    const auto reports = node_->report();
    return std::all_of(reports.begin(), reports.end(), [](const auto& report) {
      return report.state == ValidatorState::kStopped || report.state == ValidatorState::kFailed;
    });
  }

  bool report_failures() const {
    bool any = false;
    const auto reports = node_->report();
    for (std::size_t i = 0; i < reports.size(); ++i) {
      if (reports[i].state != ValidatorState::kFailed || !reports[i].error) continue;
      any = true;
      auto error = *reports[i].error;
      complain(std::move(error).in(config_.validators[i].name));
    }
    return any;
  }

  int stop_after_failure() {
    node_->request_stop();
    (void)wait_for_the_end();
    return kExitFailed;
  }

  void announce() {
    const auto reports = node_->report();
    node::Screen screen{.version = std::string(kVersion),
                        .dev_by_default = config_.dev_by_default,
                        .validators = {},
                        .data_dir = config_.data_dir,
                        .needs_token = config_.settings.require_token};
    for (std::size_t i = 0; i < reports.size(); ++i) {
      const auto& validator = config_.validators[i];
      screen.validators.push_back({validator.name, validator.port, reports[i].started->recovery});
      if (!terminal_) {
        node::log_info(validator.name, "ready on port " + std::to_string(validator.port) + ": " +
                                           node::recovered_text(reports[i].started->recovery) + ", data in " +
                                           validator.directory.string() + ", durable writes by " +
                                           reports[i].started->write_method);
      }
    }
    if (config_.dev_by_default && !terminal_)
      node::log_info("", "no validator was asked for, so this is the dev network (--dev)");
    if (terminal_) {
      const bool colour = std::getenv("NO_COLOR") == nullptr;
      std::fputs(node::start_screen(screen, colour ? node::Paint::kColour : node::Paint::kPlain).c_str(), stdout);
      std::fflush(stdout);
    }
    node::notify_service("READY=1\nSTATUS=" + std::to_string(reports.size()) + " validators ready");
  }

  int stop(int signal) {
    node::notify_service("STOPPING=1");
    node::log_info("", std::string("stopping: ") + (signal == SIGINT   ? "SIGINT"
                                                    : signal == SIGHUP ? "SIGHUP"
                                                                       : "SIGTERM"));
    node_->request_stop();
    if (const auto late = wait_for_the_end()) {
      node::log_error("", "the stop took longer than its bound; what was acknowledged as durable is safe");
      // The threads that hang cannot be joined.
      std::fflush(stdout);
      ::_exit(*late);
    }
    bool clean = true;
    const auto reports = node_->report();
    for (std::size_t i = 0; i < reports.size(); ++i) {
      if (!reports[i].error || reports[i].error->code == Errc::kShuttingDown) continue;
      node::log_error(config_.validators[i].name, "stop: " + reports[i].error->to_string());
      clean = false;
    }
    if (clean) node::log_info("", "stopped");
    return clean ? 0 : reports_timed_out(reports) ? kExitTimedOut : kExitFailed;
  }

  static bool reports_timed_out(const std::vector<node::ValidatorReport>& reports) {
    return std::any_of(reports.begin(), reports.end(),
                       [](const auto& report) { return report.error && report.error->code == Errc::kTimeout; });
  }

  /// The exit code when it was not reached in time. A second signal ends the process here.
  std::optional<int> wait_for_the_end() const {
    constexpr auto kSlack = std::chrono::seconds(3);  // for the answers that are under way, and a slow last write
    const auto deadline = std::chrono::steady_clock::now() + config_.settings.queue.stop_within + kSlack;
    while (!all_ended()) {
      if (std::chrono::steady_clock::now() >= deadline) return kExitTimedOut;
      if (const auto again = events_.wait(deadline)) ::_exit(128 + *again);
    }
    return std::nullopt;
  }

  const node::Config& config_;
  const bool terminal_;
  Events events_;
  RpcFrontOptions front_;
  std::optional<node::Node> node_;  // last: its threads use the rest
};

}  // namespace

Result<void> check_files(const node::Config& config) {
  auto access = access_rules(config.settings);
  if (!access) return fail(std::move(access.error()));
  return {};
}

int run_node(const node::Config& config) {
  node::start_log(config.settings.log_level, config.settings.log_format);
  Run run(config);
  return run.run();
}

}  // namespace qh::serve
