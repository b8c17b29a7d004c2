#include "node/config.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <set>
#include <utility>

#include "node/addresses.h"

namespace qh::node {
namespace {

constexpr std::array<std::string_view, 8> kDevNames{"alice", "bob",    "charlie", "dave",
                                                    "eve",   "ferdie", "grace",   "heidi"};
constexpr std::uint64_t kMetricsPort = 9950;  // kept free for the metrics of the node

std::string dev_name(std::size_t index) {
  return index < kDevNames.size() ? std::string(kDevNames[index]) : "validator-" + std::to_string(index + 1);
}

std::uint64_t port_after(std::uint64_t port) { return port + 1 == kMetricsPort ? port + 2 : port + 1; }

std::filesystem::path state_directory(std::string& origin) {
  if (const char* xdg = std::getenv("XDG_STATE_HOME"); xdg != nullptr && xdg[0] == '/') {
    origin = "XDG_STATE_HOME";
    return std::filesystem::path(xdg) / "quantumharmony";
  }
  const char* home = std::getenv("HOME");
  if (home == nullptr || home[0] != '/') {
    const auto* user = ::getpwuid(::getuid());
    home = user != nullptr ? user->pw_dir : "/";
  }
  origin = "default";
  return std::filesystem::path(home) / ".local/state/quantumharmony";
}

class Judge {
 public:
  explicit Judge(const GivenFile& file) : file_(file) {}

  void take(const GivenSettings& source) {
    for (const auto& [name, given] : source) config_.given[name] = given;
  }

  tl::expected<Config, Mistakes> judge() {
    for (const auto& setting : settings()) {
      const auto given = config_.given.find(setting.name);
      if (given == config_.given.end()) continue;
      if (auto done = setting.set(config_.settings, given->second.values); !done) {
        mistakes_.push_back(where(setting.name) + ": " + done.error().context);
      } else if (is_empty(setting, given->second)) {
        mistakes_.push_back(where(setting.name) + ": expected " + std::string(setting.value_name) + ", got ''");
      }
    }
    if (!mistakes_.empty()) return tl::unexpected(std::move(mistakes_));
    choose_validators();
    choose_ports();
    judge_queue();
    judge_listeners();
    judge_bursts();
    if (mistakes_.empty()) finish();
    if (!mistakes_.empty()) return tl::unexpected(std::move(mistakes_));
    return std::move(config_);
  }

 private:
  bool given(std::string_view name) const { return config_.given.contains(name); }
  bool given_by_file(std::string_view name) const {
    const auto in_file = file_.settings.find(name);
    return in_file != file_.settings.end() && in_file->second.origin == config_.given.find(name)->second.origin;
  }
  /// A flag or a variable that was filled from something that is not there. A file, and so what `config show` prints,
  /// has nothing on purpose.
  bool is_empty(const Setting& setting, const Given& given) const {
    return setting.form == Form::kText && given.values.back().empty() && !given_by_file(setting.name);
  }
  std::string where(std::string_view name) const { return place_of(config_, name); }

  void choose_validators() {
    const auto& s = config_.settings;
    const bool dev_asked = s.dev || (given("validators") && !s.validator);
    if (s.validator && s.dev)
      mistakes_.push_back(where("validator") + ": runs one validator, --dev several; choose one");
    if (s.validator && given("validators"))
      mistakes_.push_back(where("validators") + ": is for --dev, not for --validator");
    if (!s.validator && given("name")) mistakes_.push_back(where("name") + ": needs --validator");
    if (!s.validator && given("qssh-queue-port")) {
      mistakes_.push_back(where("qssh-queue-port") +
                          ": is the port of --validator --name NAME; --port-offset moves the ports of dev validators");
    }
    if (s.validator && s.name.empty()) mistakes_.push_back(where("validator") + ": needs --name NAME");
    judge_file_validators();
    if (!mistakes_.empty()) return;

    if (s.validator) {
      const auto port_origin = given("qssh-queue-port") ? config_.given["qssh-queue-port"].origin : "default";
      add(s.name, s.port, where("name"), {config_.given["name"].origin, port_origin});
    } else if (!file_.validators.empty() && !dev_asked) {
      add_from_file();
    } else {
      config_.dev = true;
      config_.dev_by_default = !dev_asked;
      judge_dev();
      std::uint64_t port = kFirstPort;
      for (std::size_t i = 0; i < s.validators; ++i, port = port_after(port))
        add(dev_name(i), port, "dev", {"the dev network", "the dev network"});
    }
  }

  /// A file that asks for the dev network and names validators would have one of the two passed over.
  void judge_file_validators() {
    if (file_.validators.empty()) return;
    for (const auto* name : {"dev", "validators"}) {
      const auto found = file_.settings.find(name);
      if (found == file_.settings.end() || found->second.values.back() == "false") continue;
      const auto& first = file_.validators.front();
      mistakes_.push_back(found->second.origin + ": " + name + ": is for the dev network, and " + first.origin +
                          " has a [[validator]] " + first.name + "; take one of the two out");
    }
  }

  /// `dev = false` is not passed over: it is refused, but where a flag or a variable asks for more than the file does.
  void judge_dev() {
    if (config_.settings.dev || !given("dev")) return;
    if (config_.dev_by_default) {
      mistakes_.push_back(where("dev") +
                          ": false, and nothing else is there to run: give --validator --name NAME, or a file with "
                          "[[validator]] tables");
    } else if (!given_by_file("dev") || given_by_file("validators")) {
      mistakes_.push_back(where("dev") + ": false, and " + where("validators") +
                          " asks for dev validators; take one of the two out");
    }
  }

  void add_from_file() {
    if (file_.validators.size() > kValidatorsMax) {
      mistakes_.push_back(file_.validators[kValidatorsMax].origin + ": one [[validator]] too many: a process runs " +
                          std::to_string(kValidatorsMax) + " at the most");
      return;
    }
    std::uint64_t next = kFirstPort;
    for (const auto& validator : file_.validators) {
      const std::uint64_t port = validator.port != 0 ? validator.port : next;
      const auto* counted = next == kFirstPort ? "default" : "default: the one after the last";
      next = port_after(port);
      add(validator.name, port, validator.origin,
          {validator.name_origin, validator.port != 0 ? validator.port_origin : counted});
    }
  }

  void add(const std::string& name, std::uint64_t port, const std::string& origin, ValidatorOrigin origins) {
    if (!is_validator_name(name)) {
      mistakes_.push_back(origin + ": '" + name + "' is no name for a validator: " + std::string(kValidatorNames));
    }
    if (!names_.insert(name).second) mistakes_.push_back(origin + ": there is another validator " + name);
    ValidatorOptions options;
    options.name = name;
    options.port = place(port, name, origin);
    config_.validators.push_back(std::move(options));
    config_.validator_origins.push_back(std::move(origins));
  }

  /// A port that anything has once.
  std::uint16_t place(std::uint64_t port, const std::string& whose, const std::string& origin) {
    port += config_.settings.port_offset;
    if (port == 0 || port > 65'535)
      mistakes_.push_back(origin + ": port " + std::to_string(port) + " of " + whose + " is over 65535");
    if (const auto [other, fresh] = ports_.emplace(port, whose); !fresh)
      mistakes_.push_back(origin + ": " + other->second + " has port " + std::to_string(port) + " of " + whose);
    return static_cast<std::uint16_t>(port);
  }

  void choose_ports() {
    const auto& s = config_.settings;
    if (s.binary_port != 0) choose_binary_ports(s.binary_port);
    if (s.metrics_port != 0) config_.metrics_port = place(s.metrics_port, "the metrics", where("metrics-port"));
    if (s.web_port != 0) config_.web_port = place(s.web_port, "the web port", where("web-port"));
  }

  void choose_binary_ports(std::uint64_t port) {
    for (auto& validator : config_.validators)
      validator.binary_port = place(port++, "the binary RPC of " + validator.name, where("binary-port"));
  }

  void judge_queue() {
    const auto checked = config_.settings.queue.check();
    if (checked) return;
    const auto name = setting_of_queue_option(checked.error().subject);
    auto why = checked.error().context;
    const auto prefix = checked.error().subject + ": ";
    if (why.starts_with(prefix)) why.erase(0, prefix.size());
    const auto cause = cause_of(name);
    why = with_settings_named(why, cause);
    if (cause != name) why = named(name, cause) + " " + why;
    mistakes_.push_back(where(cause) + ": " + (cause == name ? "" : "with " + shown(cause) + ", ") + why);
  }

  /// With its value, as the flag, the variable or the key that it is where `cause` was given: those that the reader
  /// knows.
  std::string named(std::string_view name, std::string_view cause) const {
    const auto& setting = *find_setting(name);
    const auto found = config_.given.find(cause);
    const auto kind = found == config_.given.end() ? "--" : found->second.origin;
    const auto text = kind.starts_with("--")                ? flag_of(setting)
                      : kind.starts_with("QUANTUMHARMONY_") ? variable_of(setting)
                                                            : std::string(name);
    return text + " (" + shown(name) + ")";
  }

  /// The queue speaks of its options: "lease_min".
  std::string with_settings_named(std::string_view why, std::string_view cause) const {
    std::string out;
    while (!why.empty()) {
      const auto end = std::min(why.find(' '), why.size());
      const auto word = why.substr(0, end);
      const auto name = setting_of_queue_option(word);
      const bool is_option = word.find('_') != word.npos && find_setting(name) != nullptr;
      out += (out.empty() ? "" : " ") + (is_option ? named(name, cause) : std::string(word));
      why.remove_prefix(std::min(end + 1, why.size()));
    }
    return out;
  }

  std::string shown(std::string_view name) const { return find_setting(name)->show(config_.settings); }

  /// The queue blames one option where several do not go together. What somebody gave is the cause, not a default.
  std::string cause_of(const std::string& blamed) const {
    constexpr std::array<std::array<std::string_view, 3>, 2> kTogether{
        {{"queue.lease-default", "queue.lease-min", "queue.lease-max"},
         {"queue.segment-bytes-min", "queue.segment-bytes-max", "queue.max-message-bytes"}}};
    if (given(blamed)) return blamed;
    for (const auto& group : kTogether) {
      if (std::find(group.begin(), group.end(), blamed) == group.end()) continue;
      for (const auto name : group) {
        if (given(name)) return std::string(name);
      }
    }
    return blamed;
  }

  void judge_listeners() {
    const auto& s = config_.settings;
    std::vector<std::string> earlier;
    for (const auto& address : s.listen) {
      if (!is_address(address)) {
        mistakes_.push_back(where("listen") + ": '" + address + "' is no IP address");
      } else if (!is_loopback(address) && !s.allow_remote) {
        mistakes_.push_back(where("listen") + ": " + address +
                            " can be reached from other machines; --allow-remote allows that");
      } else if (!is_loopback(address) && s.rpc_token_file.empty()) {
        mistakes_.push_back(where("listen") + ": " + address +
                            " can be reached from other machines, so callers need tokens: --rpc-token-file FILE");
      } else if (const auto other = in_the_way(address, earlier); !other.empty()) {
        mistakes_.push_back(where("listen") + ": " + address +
                            (other == address ? " is there twice" : " is one address with " + other) +
                            "; each can be listened on once");
      }
      earlier.push_back(address);
    }
    judge_binary_port();
    if (s.require_token && s.rpc_token_file.empty())
      mistakes_.push_back(where("require-token") + ": needs --rpc-token-file FILE");
    if (s.allow_remote && std::all_of(s.listen.begin(), s.listen.end(), is_loopback))
      mistakes_.push_back(where("allow-remote") + ": has no effect without --listen ADDRESS of this machine's network");
  }

  /// Nothing is taken and ignored. What is at its default may stand there: `config show` writes all.
  void judge_bursts() {
    for (const auto queue : {"queue.", "queue.submitter-"}) {
      const auto burst = queue + std::string("rate-burst"), limit = queue + std::string("rate-limit");
      const bool at_default = shown(burst) == find_setting(burst)->show(Settings{});
      if (given(burst) && !at_default && shown(limit) == find_setting(limit)->show(Settings{}))
        mistakes_.push_back(where(burst) + ": has no effect without a limit: give " + limit + ", too");
    }
  }

  /// Its callers show no token, so none but this machine may reach it, and not where callers must show one.
  void judge_binary_port() {
    const auto& s = config_.settings;
    if (s.binary_port == 0) return;
    if (s.require_token)
      mistakes_.push_back(where("binary-port") +
                          ": the binary RPC has no tokens yet, so it does not go with require-token");
    if (s.allow_remote || !std::all_of(s.listen.begin(), s.listen.end(), is_loopback))
      mistakes_.push_back(where("binary-port") +
                          ": the binary RPC has no tokens yet, so it is for loopback alone: not with allow-remote, nor "
                          "with listen on another address");
  }

  void finish() {
    auto& s = config_.settings;
    config_.data_dir = s.data_dir;
    if (s.data_dir.empty())
      config_.data_dir = state_directory(config_.data_dir_origin);
    else
      config_.data_dir_origin = config_.given.find("data-dir")->second.origin;
    std::error_code error;
    const auto whole = std::filesystem::absolute(config_.data_dir, error);
    if (error) {
      mistakes_.push_back(where("data-dir") + ": " + config_.data_dir.string() +
                          " begins in the current directory, and there is none: " + error.message());
    }
    config_.data_dir = whole.lexically_normal();
    for (auto& validator : config_.validators) {
      validator.directory = config_.data_dir / validator.name;
      validator.write_method = s.write_method;
      validator.queue = s.queue;
      validator.allow_faults = s.allow_faults;
    }
  }

  const GivenFile& file_;
  Config config_;
  Mistakes mistakes_;
  std::set<std::string, std::less<>> names_;
  std::map<std::uint64_t, std::string> ports_;  ///< whose they are
};

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    if (comma != 0) parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return parts;
}

}  // namespace

std::string place_of(const Config& config, std::string_view name) {
  const auto found = config.given.find(name);
  if (found == config.given.end()) {
    const auto* setting = find_setting(name);
    return setting != nullptr ? flag_of(*setting) : std::string(name);
  }
  const auto& origin = found->second.origin;  // a flag or a variable says its name itself
  return origin.starts_with("--") || origin.starts_with("QUANTUMHARMONY_") ? origin : origin + ": " + std::string(name);
}

GivenSettings read_environment(const char* const* environment, std::string& config_file, Mistakes& mistakes) {
  constexpr std::string_view kPrefix = "QUANTUMHARMONY_";
  constexpr std::array<std::string_view, 1> kOthers{"CONFIG"};
  GivenSettings found;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (!entry.starts_with(kPrefix)) continue;
    const auto name = entry.substr(0, entry.find('='));
    const auto value = name.size() < entry.size() ? entry.substr(name.size() + 1) : std::string_view();
    if (name == "QUANTUMHARMONY_CONFIG") {
      if (value.empty()) mistakes.emplace_back("QUANTUMHARMONY_CONFIG: expected FILE, got ''");
      config_file = value;
      continue;
    }
    const auto setting =
        std::find_if(settings().begin(), settings().end(), [&](const Setting& s) { return variable_of(s) == name; });
    if (setting == settings().end()) {
      mistakes.push_back(std::string(name) + ": unknown variable" + setting_hint(name, kPrefix, variable_of, kOthers));
      continue;
    }
    found[std::string(setting->name)] = {setting->form == Form::kList ? split(value) : std::vector{std::string(value)},
                                         std::string(name)};
  }
  return found;
}

tl::expected<Config, Mistakes> make_config(const GivenSettings& flags, const GivenSettings& environment,
                                           const GivenFile& file) {
  Judge judge(file);
  judge.take(file.settings);
  judge.take(environment);
  judge.take(flags);
  return judge.judge();
}

}  // namespace qh::node
