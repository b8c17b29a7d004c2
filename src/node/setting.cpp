#include "node/setting.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/nearest.h"
#include "node/addresses.h"

namespace qh::node {
namespace {

using Values = std::vector<std::string>;

tl::unexpected<Error> expected(std::string_view what, std::string_view got) {
  return fail(Errc::kInvalid, "expected " + std::string(what) + ", got '" + std::string(got) + "'");
}

std::string joined(const Values& values) {
  std::string text;
  for (const auto& value : values) text += (text.empty() ? "" : ",") + value;
  return text;
}

template <class T>
Result<void> parse(T& into, std::string_view text) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  if (error != std::errc() || end != text.data() + text.size()) {
    return expected(std::is_integral_v<T> ? "an integer from 0 on" : "a number", text);
  }
  if constexpr (std::is_integral_v<T>) {
    if (!std::in_range<std::int64_t>(into)) return expected("an integer of at most 9223372036854775807", text);  // TOML
  }
  return {};
}
Result<void> parse(Duration& into, std::string_view text) {
  const auto value = parse_duration(text);
  if (!value) return fail(value.error());
  into = *value;
  return {};
}
Result<void> parse(std::string& into, std::string_view text) {
  into = text;
  return {};
}
Result<void> parse(bool& into, std::string_view text) {
  if (text != "true" && text != "false") return expected("true or false", text);
  into = text == "true";
  return {};
}

std::string text_of(bool value) { return value ? "true" : "false"; }
std::string text_of(const std::string& value) { return value; }
std::string text_of(Duration value) { return duration_text(value); }
std::string text_of(std::integral auto value) { return std::to_string(value); }
std::string text_of(double value) {
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

template <auto Member>
Result<void> set_one(Settings& s, const Values& values) {
  return parse(s.*Member, values.back());
}
template <auto Member>
std::string show_one(const Settings& s) {
  return text_of(s.*Member);
}
template <auto Member>
Result<void> set_list(Settings& s, const Values& values) {
  s.*Member = values;
  return {};
}
template <auto Member>
std::string show_list(const Settings& s) {
  return joined(s.*Member);
}
template <auto Member>
Result<void> set_queue(Settings& s, const Values& values) {
  return parse(s.queue.*Member, values.back());
}
template <auto Member>
std::string show_queue(const Settings& s) {
  return text_of(s.queue.*Member);
}
/// Over this a rate is no limit any more; under kRateMin the next message would be days away.
constexpr double kRateMin = 0.001, kRateMax = 1e9;
template <auto Member>
Result<void> set_rate(Settings& s, const Values& values) {
  double rate = 0;
  // Written so that what is no number at all is refused too.
  if (!parse(rate, values.back()) || !(rate == 0 || (rate >= kRateMin && rate <= kRateMax)))
    return expected("0 for no limit, or a number from 0.001 to 1000000000", values.back());
  s.queue.*Member = rate;
  return {};
}
template <auto Member>
Result<void> set_burst(Settings& s, const Values& values) {
  double burst = 0;
  if (!parse(burst, values.back()) || !(burst >= 1 && burst <= kRateMax))
    return expected("a number from 1 to 1000000000", values.back());
  s.queue.*Member = burst;
  return {};
}
Result<void> set_max_waiters(Settings& s, const Values& values) {
  if (!parse(s.queue.max_waiters, values.back()) || s.queue.max_waiters == 0 || s.queue.max_waiters > 1'000'000)
    return expected("an integer from 1 to 1000000", values.back());
  return {};
}
template <auto Member>
Result<void> set_queue_bytes(Settings& s, const Values& values) {
  const auto value = parse_bytes(values.back());
  if (!value) return fail(value.error());
  using T = std::remove_reference_t<decltype(s.queue.*Member)>;
  if (!std::in_range<T>(*value)) return expected("less than 4GiB", values.back());
  s.queue.*Member = static_cast<T>(*value);
  return {};
}
template <auto Member>
std::string show_queue_bytes(const Settings& s) {
  return bytes_text(s.queue.*Member);
}

/// A word of a few, kept as an enumeration.
template <auto Member, const auto& kWords>
Result<void> set_word(Settings& s, const Values& values) {
  for (std::size_t i = 0; i < kWords.size(); ++i) {
    if (kWords[i] != values.back()) continue;
    s.*Member = static_cast<std::remove_reference_t<decltype(s.*Member)>>(i);
    return {};
  }
  std::string words;
  for (const auto word : kWords) words += (words.empty() ? "" : ", ") + std::string(word);
  return expected("one of " + words + nearest_hint(values.back(), kWords), values.back());
}
template <auto Member, const auto& kWords>
std::string show_word(const Settings& s) {
  return std::string(kWords[static_cast<std::size_t>(s.*Member)]);
}

constexpr std::array<std::string_view, 6> kLevels{"trace", "debug", "info", "warn", "error", "off"};
constexpr std::array<std::string_view, 2> kFormats{"text", "json"};
constexpr std::array<std::string_view, 4> kWriteMethods{"auto", "direct", "dsync", "fdatasync"};

Result<void> set_port(Settings& s, const Values& values) {
  if (!parse(s.port, values.back()) || s.port == 0 || s.port > 65'535)
    return expected("a port from 1 to 65535", values.back());
  return {};
}
Result<void> set_data_dir(Settings& s, const Values& values) {
  if (values.back().empty()) return expected("a directory", "");
  s.data_dir = values.back();
  return {};
}
Result<void> set_allow_host(Settings& s, const Values& values) {
  const auto wrong = std::find_if_not(values.begin(), values.end(), is_host);
  if (wrong != values.end()) return expected("a name or an address, without a port or brackets", *wrong);
  s.allow_host = values;
  return {};
}
Result<void> set_allow_origin(Settings& s, const Values& values) {
  const auto wrong = std::find_if_not(values.begin(), values.end(), is_origin);
  if (wrong != values.end()) {
    return expected(
        "an origin as browsers send it, scheme://host or scheme://host:port, as https://wallet.example: no path, no *, "
        "and not the scheme's own port",
        *wrong);
  }
  s.allow_origin = values;
  return {};
}
Result<void> set_port_offset(Settings& s, const Values& values) {
  if (!parse(s.port_offset, values.back()) || s.port_offset > 65'535)
    return expected("a number from 0 to 65535", values.back());
  return {};
}
template <auto Member>
Result<void> set_optional_port(Settings& s, const Values& values) {
  if (!parse(s.*Member, values.back()) || s.*Member > 65'535)
    return expected("a port from 1 to 65535, or 0 for none", values.back());
  return {};
}
Result<void> set_validators(Settings& s, const Values& values) {
  if (!parse(s.validators, values.back()) || s.validators == 0 || s.validators > kValidatorsMax) {
    return expected("a number from 1 to " + std::to_string(kValidatorsMax), values.back());
  }
  return {};
}
Result<void> set_queue_mode(Settings& s, const Values& values) {
  if (values.back() == "validator") {
    return fail(
        Errc::kInvalid,
        "'validator' hands the consensus kinds to the validator's own consensus, which this build does not have yet; "
        "use manual, where outside consumers take every kind");
  }
  if (values.back() != "manual") return expected("manual", values.back());
  s.queue_mode = values.back();
  return {};
}

using S = Settings;
using Q = queue::Options;

template <auto M>
constexpr Setting flag(std::string_view name, std::string_view meaning, Place place = Place::kEverywhere) {
  return {name, Form::kFlag, "", meaning, place, set_one<M>, show_one<M>};
}
template <auto M>
constexpr Setting list(std::string_view name, std::string_view value_name, std::string_view meaning) {
  return {name, Form::kList, value_name, meaning, Place::kEverywhere, set_list<M>, show_list<M>};
}
template <auto M>
constexpr Setting one(std::string_view name, std::string_view value_name, std::string_view meaning,
                      Place place = Place::kEverywhere) {
  return {name, Form::kText, value_name, meaning, place, set_one<M>, show_one<M>};
}
template <auto M>
constexpr Setting optional_port(std::string_view name, std::string_view meaning) {
  return {name, Form::kInteger, "PORT", meaning, Place::kEverywhere, set_optional_port<M>, show_one<M>};
}
template <auto M>
constexpr Setting of_queue(std::string_view name, std::string_view value_name, std::string_view meaning) {
  constexpr bool kIsTime = std::is_same_v<Duration, std::remove_cvref_t<decltype(Q{}.*M)>>;
  return {name,         kIsTime ? Form::kTime : Form::kInteger, value_name, meaning, Place::kEverywhere, set_queue<M>,
          show_queue<M>};
}
template <auto M>
constexpr Setting rate_of_queue(std::string_view name, std::string_view meaning) {
  return {name, Form::kNumber, "MESSAGES/S", meaning, Place::kEverywhere, set_rate<M>, show_queue<M>};
}
template <auto M>
constexpr Setting burst_of_queue(std::string_view name) {
  return {name,         Form::kNumber, "MESSAGES", "how many of them may come at once", Place::kEverywhere,
          set_burst<M>, show_queue<M>};
}
template <auto M>
constexpr Setting bytes_of_queue(std::string_view name, std::string_view meaning) {
  return {name, Form::kBytes, "BYTES", meaning, Place::kEverywhere, set_queue_bytes<M>, show_queue_bytes<M>};
}

constexpr std::array kSettings{
    flag<&S::dev>("dev", "run dev validators in this process: alice, bob, charlie, ..."),
    Setting{"validators", Form::kInteger, "N", "how many dev validators", Place::kEverywhere, set_validators,
            show_one<&S::validators>},
    flag<&S::validator>("validator", "run the one validator that --name names", Place::kNotInFile),
    one<&S::name>("name", "NAME", "its name: at most 32 of a-z, 0-9 and -", Place::kNotInFile),
    Setting{"qssh-queue-port", Form::kInteger, "PORT", "its port", Place::kNotInFile, set_port, show_one<&S::port>},
    Setting{"queue-mode", Form::kText, "MODE", "manual: outside consumers take every kind", Place::kEverywhere,
            set_queue_mode, show_one<&S::queue_mode>},
    optional_port<&S::binary_port>(
        "binary-port", "the binary RPC of the first validator, the others count up; loopback only; 0: none"),
    Setting{"port-offset", Form::kInteger, "N", "moves every port by N", Place::kEverywhere, set_port_offset,
            show_one<&S::port_offset>},
    optional_port<&S::metrics_port>("metrics-port", "the WebSocket with the validators' figures; 0: none"),
    optional_port<&S::web_port>("web-port", "the page, the status, /metrics and the health checks; 0: none"),
    list<&S::listen>("listen", "ADDRESS",
                     "where to listen, several times for several; without it 127.0.0.1 and, where there is one, ::1"),
    flag<&S::allow_remote>("allow-remote", "allows --listen on what is not loopback; needs --rpc-token-file"),
    one<&S::rpc_token_file>("rpc-token-file", "FILE",
                            "who may call: a line each, name, SHA-256 of the token in hex, roles"),
    flag<&S::require_token>("require-token", "asks callers on loopback for a token too"),
    Setting{"allow-origin", Form::kList, "ORIGIN", "web pages of this origin may call, as https://wallet.example",
            Place::kEverywhere, set_allow_origin, show_list<&S::allow_origin>},
    Setting{"allow-host", Form::kList, "NAME", "requests may name this Host, besides loopback names",
            Place::kEverywhere, set_allow_host, show_list<&S::allow_host>},
    Setting{"data-dir", Form::kText, "DIR",
            "where the data is; without it $XDG_STATE_HOME/quantumharmony or ~/.local/state/quantumharmony",
            Place::kEverywhere, set_data_dir, show_one<&S::data_dir>},
    Setting{"log-level", Form::kText, "LEVEL", "trace, debug, info, warn, error or off", Place::kEverywhere,
            set_word<&S::log_level, kLevels>, show_word<&S::log_level, kLevels>, kLevels},
    Setting{"log-format", Form::kText, "FORMAT", "text or json, a line each on stderr", Place::kEverywhere,
            set_word<&S::log_format, kFormats>, show_word<&S::log_format, kFormats>, kFormats},
    flag<&S::allow_faults>("allow-faults", "node_injectFault breaks a validator for a test; never where data matter"),

    of_queue<&Q::max_depth>("queue.max-depth", "MESSAGES",
                            "most messages in a queue, leased and delayed ones included"),
    bytes_of_queue<&Q::max_bytes>("queue.max-bytes", "most bytes of bodies and keys in a queue"),
    bytes_of_queue<&Q::max_message_bytes>("queue.max-message-bytes", "largest message"),
    bytes_of_queue<&Q::max_tx_bytes>("queue.max-tx-bytes", "largest Transaction or EntropyShare"),
    of_queue<&Q::max_batch_messages>("queue.max-batch-messages", "MESSAGES", "most messages of one submitBatch"),
    bytes_of_queue<&Q::max_batch_bytes>("queue.max-batch-bytes", "most bytes of one submitBatch"),
    Setting{"queue.max-waiters", Form::kInteger, "CALLS", "most takes and leases that wait for a message",
            Place::kEverywhere, set_max_waiters, show_queue<&Q::max_waiters>},
    rate_of_queue<&Q::queue_rate_limit>("queue.rate-limit", "most submits a second; 0 for no limit"),
    burst_of_queue<&Q::queue_rate_burst>("queue.rate-burst"),
    rate_of_queue<&Q::submitter_rate_limit>("queue.submitter-rate-limit", "the same for one submitter; 0 for no limit"),
    burst_of_queue<&Q::submitter_rate_burst>("queue.submitter-rate-burst"),
    of_queue<&Q::idempotency_keys_max>("queue.idempotency-keys-max", "KEYS",
                                       "most idempotency keys that are remembered"),
    of_queue<&Q::idempotency_window>("queue.idempotency-window", "TIME", "how long they are"),
    of_queue<&Q::fairness>("queue.fairness", "N", "after N of one priority one of a lower; 0: strict priority"),
    of_queue<&Q::max_deliveries>("queue.max-deliveries", "N", "leases of one message before it becomes a dead letter"),
    of_queue<&Q::lease_default>("queue.lease-default", "TIME", "a lease that names no time"),
    of_queue<&Q::lease_min>("queue.lease-min", "TIME", "shortest lease"),
    of_queue<&Q::lease_max>("queue.lease-max", "TIME", "longest lease"),
    of_queue<&Q::dead_letters_max>("queue.dead-letters-max", "MESSAGES", "most dead letters; the oldest leave"),
    bytes_of_queue<&Q::dead_letter_bytes_max>("queue.dead-letter-bytes-max", "most bytes of them"),
    of_queue<&Q::dead_letter_age_max>("queue.dead-letter-age-max", "TIME", "how long they are kept"),
    of_queue<&Q::stop_within>("queue.stop-within", "TIME",
                              "longest graceful stop, at least 100ms; TimeoutStopSec in a unit is to be 4 s longer"),
    bytes_of_queue<&Q::segment_bytes_min>("queue.segment-bytes-min", "first segments of the log, at least 32 KiB"),
    bytes_of_queue<&Q::segment_bytes_max>("queue.segment-bytes-max", "largest segments of the log, under load"),
    of_queue<&Q::batches_in_flight>("queue.batches-in-flight", "N", "writes of the log that may be under way together"),
    of_queue<&Q::idle_mark_after>("queue.idle-mark-after", "TIME", "rest after which the log's end is marked"),
    Setting{"queue.write-method", Form::kText, "METHOD",
            "how durable writes are done: auto measures; direct, dsync, fdatasync", Place::kEverywhere,
            set_word<&S::write_method, kWriteMethods>, show_word<&S::write_method, kWriteMethods>, kWriteMethods},
};

std::string replaced(std::string_view text, char to_dash) {
  std::string out(text);
  std::replace(out.begin(), out.end(), to_dash, '-');
  return out;
}

}  // namespace

std::span<const Setting> settings() { return kSettings; }

const Setting* find_setting(std::string_view name) {
  const auto found = std::find_if(kSettings.begin(), kSettings.end(), [&](const Setting& s) { return s.name == name; });
  return found == kSettings.end() ? nullptr : &*found;
}

bool is_queue_setting(const Setting& setting) { return setting.name.starts_with("queue."); }

std::string flag_of(const Setting& setting) { return "--" + replaced(setting.name, '.'); }

std::string variable_of(const Setting& setting) {
  std::string out = "QUANTUMHARMONY_" + std::string(setting.name);
  for (auto& c : out) {
    if (c == '-' || c == '.') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

std::string setting_hint(std::string_view given, std::string_view prefix, std::string (*known)(const Setting&),
                         std::span<const std::string_view> others) {
  std::vector<std::string> names(others.begin(), others.end());
  for (const auto& setting : kSettings) names.push_back(known(setting).substr(prefix.size()));
  const std::vector<std::string_view> views(names.begin(), names.end());
  if (given.starts_with(prefix)) given.remove_prefix(prefix.size());
  return meant_hint(given, views, prefix);
}

std::string setting_of_queue_option(std::string_view option) {
  auto name = replaced(option, '_');
  if (name.starts_with("queue-")) name = name.substr(6);
  return "queue." + name;
}

}  // namespace qh::node
