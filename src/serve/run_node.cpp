#include "serve/run_node.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "node/figures.h"
#include "node/limits.h"
#include "node/log.h"
#include "node/node.h"
#include "node/process_figures.h"
#include "node/service_notify.h"
#include "node/service_status.h"
#include "node/start_screen.h"
#include "qh/version.h"
#include "serve/descriptors.h"
#include "serve/node_ports.h"
#include "serve/rpc_front.h"
#include "serve/stop_signals.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using node::ValidatorReport;
using node::ValidatorState;

constexpr std::size_t kOtherConnections = 1024;
constexpr int kExitFailed = 1, kExitUsage = 2, kExitTimedOut = 5;

void complain(const Error& error) { node::say("quantumharmony-node: " + error.to_string()); }

std::string port_hint(const node::Config& config) {
  if (config.settings.validator) return "Stop it, or take another port: --qssh-queue-port PORT";
  if (!config.dev) return "Stop it, or take other ports: qssh-queue-port in the configuration file, or --port-offset N";
  return "Stop it, or move every port: --port-offset " + std::to_string(config.settings.port_offset + 100);
}

Result<AccessRules> access_rules(const node::Config& config) {
  const auto& settings = config.settings;
  AccessRules rules;
  rules.allowed_origins = settings.allow_origin;
  rules.allowed_hosts = settings.allow_host;
  rules.require_token = settings.require_token;
  if (settings.rpc_token_file.empty()) return rules;
  auto tokens = TokenTable::load(settings.rpc_token_file);
  if (!tokens) return fail(std::move(tokens.error()).in(node::place_of(config, "rpc-token-file")));
  rules.tokens = std::move(*tokens);
  return rules;
}

std::string_view signal_name(int signal) {
  if (signal == SIGINT) return "SIGINT";
  return signal == SIGHUP ? "SIGHUP" : "SIGTERM";
}

/// From the first port to the last answer, on the main thread's loop.
class Run {
 public:
  explicit Run(const node::Config& config) : config_(config), terminal_(::isatty(STDOUT_FILENO) == 1) {}

  int run() {
    std::signal(SIGPIPE, SIG_IGN);
    if (auto options = front_options(); !options) {
      complain(options.error());
      return kExitUsage;
    }
    descriptors_ = raise_descriptor_limit();
    if (auto enough = has_descriptors_for(descriptors_, ports_of(config_.validators.size())); !enough) {
      complain(enough.error());
      return kExitFailed;
    }
    (void)node::process_figures();  // opens what it reads, while there are descriptors
    bound_connections(config_.validators.size());
    make_node();
    make_ports();
    auto unbound = node_->bind();
    for (auto& error : ports_->bind()) unbound.push_back(std::move(error));
    // Two nodes can bind a port until one listens: the data decides which.
    if (auto taken = unbound.empty() ? node_->take_first_data() : Result<void>(); !taken)
      unbound.push_back(std::move(taken.error()));
    if (unbound.empty()) unbound = ports_->listen();
    for (const auto& error : unbound) complain(error);
    if (!unbound.empty()) return kExitFailed;
    wait_for_signal();
    if (const auto interval = node::watchdog_interval()) feed_watchdog(*interval / 2);
    node_->start();
    turn();
    if (any_hung()) leave();
    return exit_code_;
  }

 private:
  enum class Phase : std::uint8_t { kStarting, kRunning, kStopping, kEnding };

  /// What a handler throws is a fault of ours: it ends that handler, and not all validators.
  void turn() {
    for (;;) {
      try {
        loop_.run();
        return;
      } catch (const std::exception& error) {
        node::log_error(
            "", "the node goes on after a fault of its own: " + node::error_of(error, "on its main loop").to_string());
      }
    }
  }

  // -- Making ------------------------------------------------------------------------------------------

  Result<void> front_options() {
    front_.listen = config_.settings.listen;
    front_.port_flag_hint = port_hint(config_);
    front_.binary_port_flag_hint = "Stop it, or take another port: --binary-port PORT";
    auto access = access_rules(config_);
    if (!access) return fail(std::move(access.error()));
    front_.access = std::move(*access);
    return {};
  }

  PortCounts ports_of(std::size_t validators) const {
    return {.validators = validators, .of_each = config_.settings.binary_port != 0 ? 2U : 1U};
  }

  /// For so many validators: those that are added share with the others.
  void bound_connections(std::size_t validators) {
    if (std::exchange(bounded_for_, validators) == validators) return;
    const ConnectionBounds wanted{HttpBounds().connections, kOtherConnections};
    const auto fit = connections_that_fit(descriptors_, ports_of(validators), wanted);
    front_.bounds.connections.set(fit.validator);
    other_connections_.set(fit.other);
    if (std::exchange(told_bounds_, fit) == fit || fit == wanted) return;
    node::log_warn("", "only " + std::to_string(descriptors_) +
                           " files may be open at once, so each validator's port takes " +
                           std::to_string(fit.validator) + " connections, not " + std::to_string(wanted.validator) +
                           ", and each of the node's " + std::to_string(fit.other) + "; " + kMoreDescriptors);
  }

  void make_node() {
    node::NodeOptions options;
    options.validators = config_.validators;
    options.make = [this](const std::string& name, std::uint16_t port) -> Result<node::ValidatorOptions> {
      if (auto room = has_room_for_a_validator(ports_of(node_->report().size())); !room)
        return fail(std::move(room.error()));
      node::TakenPorts taken;
      for (const auto& report : node_->report()) {
        taken.rpc.push_back(report.port);
        if (report.binary_port != 0) taken.binary.push_back(report.binary_port);
      }
      return node::added_validator(config_, taken, name, port);
    };
    node_.emplace(
        loop_, std::move(options),
        [this](auto& loop, const auto& settings) { return make_rpc_front(loop, settings, front_); },
        [this] { look(); });
  }

  void make_ports() {
    ports_.emplace(loop_,
                   NodePortsSettings{.web_port = config_.web_port,
                                     .metrics_port = config_.metrics_port,
                                     .listen = front_.listen,
                                     .access = front_.access,
                                     .connections = other_connections_,
                                     .version = std::string(kVersion)},
                   [this] { return node_->report(); });
  }

  // -- Following -----------------------------------------------------------------------------------------

  void wait_for_signal() {
    signals_.async_wait([this](const error_code& error, int signal) {
      if (error) return;
      wait_for_signal();
      obey(signal);
    });
  }

  void obey(int signal) {
    const std::string name(signal_name(signal));
    switch (signals_asked_.take(signal, clock_.mono())) {
      case StopSignals::Ask::kNothing:
        return node::log_warn("", "SIGHUP changes nothing: the configuration and the tokens are read at a start only");
      case StopSignals::Ask::kStop:
        node::notify_service("STOPPING=1");
        node::log_info("", "stopping: " + name);
        if (phase_ == Phase::kStarting || phase_ == Phase::kRunning) stop();
        return;
      case StopSignals::Ask::kGoOn:
        return node::log_info("", "still stopping: " + name + " again" +
                                      (signal == SIGHUP ? "" : "; one more, a second later, ends it at once"));
      case StopSignals::Ask::kEndAtOnce:
        node::log_warn("", "ended at once by " + name + ": what was only in memory is lost");
        exit_code_ = 128 + signal;
        leave();
    }
  }

  /// At half the interval, and only while every loop turns: one that stands still makes the manager start us again.
  void feed_watchdog(Duration every) {
    watchdog_.expires_after(every);
    watchdog_.async_wait([this, every](const error_code& error) {
      if (error) return;
      const auto reports = node_->report();
      const auto checks = node::live_checks(
          {.validators = reports, .version = {}, .now = {}, .now_mono = clock_.mono(), .started_at = {}});
      if (std::all_of(checks.begin(), checks.end(), [](const watch::Check& check) { return check.passed; }))
        node::notify_service("WATCHDOG=1");
      feed_watchdog(every);
    });
  }

  /// Something about a validator has changed.
  void look() {
    const auto reports = node_->report();
    bound_connections(reports.size());
    const auto none = [&](auto... states) {
      return std::none_of(reports.begin(), reports.end(),
                          [&](const ValidatorReport& report) { return ((report.state == states) || ...); });
    };
    const bool start_is_over = std::none_of(reports.begin(), reports.end(), [](const ValidatorReport& report) {
      return report.configured && report.state == ValidatorState::kStarting;
    });
    if (phase_ == Phase::kStarting && start_is_over) {
      if (!complain_about_failures(reports)) return announce(reports);
      exit_code_ = kExitFailed;
      failed_to_start_ = true;
      return stop();
    }
    if (phase_ == Phase::kStopping && none(ValidatorState::kStarting, ValidatorState::kRunning,
                                           ValidatorState::kStopping, ValidatorState::kRestarting))
      return end(reports);
    if (phase_ == Phase::kRunning) tell_status(reports);
  }

  /// Each time that it is another one; again when it was not taken.
  void tell_status(const std::vector<ValidatorReport>& reports) {
    const auto* const first = told_status_.empty() ? "READY=1\n" : "";
    auto status = "STATUS=" + node::service_status(reports);
    if (status == told_status_) return;
    if (node::notify_service(first + status)) {
      told_status_ = std::move(status);
      return;
    }
    status_.expires_after(std::chrono::seconds(1));
    status_.async_wait([this](const error_code& error) {
      if (!error && phase_ == Phase::kRunning) tell_status(node_->report());
    });
  }

  static bool complain_about_failures(const std::vector<ValidatorReport>& reports) {
    bool any = false;
    for (const auto& report : reports) {
      if (!report.configured || report.state != ValidatorState::kFailed || !report.error) continue;
      any = true;
      auto error = *report.error;
      complain(std::move(error).in(report.name));
    }
    return any;
  }

  void announce(const std::vector<ValidatorReport>& reports) {
    phase_ = Phase::kRunning;
    if (terminal_) {
      show_screen(reports);
    } else {
      for (const auto& report : reports) {  // one that was added has said so itself
        if (report.configured && report.started) node::log_info(report.name, node::ready_text(report));
      }
      announce_node();
    }
    // Of validators that are added from now on.
    front_.port_flag_hint = front_.binary_port_flag_hint = "Stop it, or add the validator with another \"port\"";
    tell_status(reports);
  }

  void show_screen(const std::vector<ValidatorReport>& reports) const {
    node::Screen screen{.version = std::string(kVersion),
                        .dev_by_default = config_.dev_by_default,
                        .validators = {},
                        .data_dir = config_.data_dir,
                        .web_port = config_.web_port,
                        .metrics_port = config_.metrics_port,
                        .write_method = {},
                        .needs_token = config_.settings.require_token,
                        .listen = front_.listen};
    for (const auto& report : reports) {
      if (!report.started) continue;  // it was stopped while it started
      screen.validators.push_back({report.name, report.port, report.binary_port, report.started->recovery});
      if (screen.write_method.empty()) screen.write_method = report.started->write_method;
    }
    const bool colour = std::getenv("NO_COLOR") == nullptr;
    std::fputs(node::start_screen(screen, colour ? node::Paint::kColour : node::Paint::kPlain).c_str(), stdout);
    std::fflush(stdout);
  }

  void announce_node() const {
    if (config_.dev_by_default) node::log_info("", "no validator was asked for, so this is the dev network (--dev)");
    if (config_.web_port != 0) node::log_info("", "web on port " + std::to_string(config_.web_port));
    if (config_.metrics_port != 0) node::log_info("", "metrics on port " + std::to_string(config_.metrics_port));
  }

  // -- Stopping ------------------------------------------------------------------------------------------

  void stop() {
    phase_ = Phase::kStopping;
    constexpr auto kSlack = std::chrono::seconds(3);  // for the answers that are under way, and a slow last write
    deadline_.expires_after(config_.settings.queue.stop_within + kSlack);
    deadline_.async_wait([this](const error_code& error) {
      if (!error) give_up();
    });
    node_->request_stop();
    look();
  }

  /// Those that have not stopped.
  static std::string names_of_late(const std::vector<ValidatorReport>& reports) {
    std::string names;
    for (const auto& report : reports) {
      const bool at_its_end = report.state == ValidatorState::kStopped || report.state == ValidatorState::kFailed;
      if (!at_its_end || report.hung) names += (names.empty() ? "" : ", ") + report.name;
    }
    return names.empty() ? "the node's ports" : names;
  }

  static void tell_late(const std::vector<ValidatorReport>& reports) {
    node::log_error("", "the stop took longer than its bound, by " + names_of_late(reports) +
                            "; what was acknowledged as durable is safe");
  }

  [[noreturn]] void give_up() {
    exit_code_ = failed_to_start_ ? kExitFailed : kExitTimedOut;
    if (!failed_to_start_) tell_late(node_->report());
    leave();
  }

  bool any_hung() const {
    const auto reports = node_->report();
    return std::any_of(reports.begin(), reports.end(), [](const ValidatorReport& report) { return report.hung; });
  }

  /// The threads that hang cannot be joined.
  [[noreturn]] void leave() const {
    node::stop_log();
    std::fflush(stdout);
    ::_exit(exit_code_);
  }

  void end(const std::vector<ValidatorReport>& reports) {
    phase_ = Phase::kEnding;
    if (!failed_to_start_) exit_code_ = judge_stop(reports);
    ports_->finish([this] {
      deadline_.cancel();
      signals_.cancel();
      loop_.stop();
    });
  }

  static int judge_stop(const std::vector<ValidatorReport>& reports) {
    const bool hung =
        std::any_of(reports.begin(), reports.end(), [](const ValidatorReport& report) { return report.hung; });
    if (hung) tell_late(reports);
    int code = hung ? kExitTimedOut : 0;
    for (const auto& report : reports) {
      if (!report.stop_error) continue;
      node::log_error(report.name, "stop: " + report.stop_error->to_string());
      if (report.stop_error->code == Errc::kTimeout) code = kExitTimedOut;
      if (code == 0) code = kExitFailed;
    }
    if (code == 0) node::log_info("", "stopped");
    return code;
  }

  const node::Config& config_;
  const bool terminal_;
  asio::io_context loop_{1};
  asio::signal_set signals_{loop_, SIGTERM, SIGINT, SIGHUP};
  asio::steady_timer deadline_{loop_}, watchdog_{loop_}, status_{loop_};
  SystemClock clock_;
  StopSignals signals_asked_{terminal_};
  Phase phase_ = Phase::kStarting;
  int exit_code_ = 0;
  bool failed_to_start_ = false;
  RpcFrontOptions front_;
  std::size_t descriptors_ = 0;                            ///< that may be open at once
  ConnectionBound other_connections_ = kOtherConnections;  ///< of the web port, the metrics port, its WebSockets
  std::size_t bounded_for_ = 0;                            ///< validators
  std::optional<ConnectionBounds> told_bounds_;
  std::string told_status_;         ///< to the service manager
  std::optional<node::Node> node_;  // its threads use what stands above
  std::optional<NodePorts> ports_;
};

}  // namespace

Result<void> check_files(const node::Config& config) {
  auto access = access_rules(config);
  if (!access) return fail(std::move(access.error()));
  return {};
}

int run_node(const node::Config& config) {
  int code = kExitFailed;
  try {
    node::start_log(config.settings.log_level, config.settings.log_format);
    Run run(config);
    code = run.run();
  } catch (const std::exception& error) {  // its log takes a thread, its loop descriptors
    complain(node::error_of(error, "cannot start"));
  }
  node::stop_log();
  return code;
}

}  // namespace qh::serve
