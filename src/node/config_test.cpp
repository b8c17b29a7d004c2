#include <cstdlib>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "node/config_bed.h"

namespace qh::node {
namespace {

TEST(Config, WithoutAnythingItIsTheDevNetwork) {
  const auto config = configure({});
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->dev_by_default);
  ASSERT_EQ(config->validators.size(), 3U);
  EXPECT_EQ(config->validators[0].name, "alice");
  EXPECT_EQ(config->validators[0].port, 9944);
  EXPECT_EQ(config->validators[2].name, "charlie");
  EXPECT_EQ(config->validators[2].port, 9946);
  EXPECT_EQ(config->validators[1].directory, config->data_dir / "bob");
  EXPECT_FALSE(configure({"--dev"})->dev_by_default);
}

TEST(Config, DevPortsPassOverTheMetricsPort) {
  const auto config = configure({"--validators", "9", "--port-offset", "100"});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->validators[5].name, "ferdie");
  EXPECT_EQ(config->validators[5].port, 10049);
  EXPECT_EQ(config->validators[6].port, 10051);
  EXPECT_EQ(config->validators[8].name, "validator-9");
}

TEST(Config, BinaryPortsCountUpAndMoveWithTheOthers) {
  EXPECT_EQ(configure({})->validators[0].binary_port, 0);
  const auto config = configure({"--binary-port", "9960", "--port-offset", "100"});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->validators[0].binary_port, 10060);
  EXPECT_EQ(config->validators[2].binary_port, 10062);
  TakenPorts taken;
  for (const auto& one : config->validators) {
    taken.rpc.push_back(one.port);
    taken.binary.push_back(one.binary_port);
  }
  const auto added = added_validator(*config, taken, "dave", 0);
  ASSERT_TRUE(added);
  EXPECT_EQ(added->port, 10047);
  EXPECT_EQ(added->binary_port, 10063);
  EXPECT_FALSE(added_validator(*config, taken, "dave", 10061)) << "bob's binary port";
  EXPECT_EQ(configure({"--binary-port", "9960", "--listen", "127.0.0.1"})->validators[0].binary_port, 9960);
}

/// The ports of `name`, which is added without one to those that `taken` has.
std::pair<std::uint16_t, std::uint16_t> ports_of_added(const Config& config, TakenPorts& taken,
                                                       const std::string& name = "dave") {
  const auto added = added_validator(config, taken, name, 0);
  if (!added) return {};
  taken.rpc.push_back(added->port);
  if (added->binary_port != 0) taken.binary.push_back(added->binary_port);
  return {added->port, added->binary_port};
}

TEST(Config, AnAddedValidatorWithoutAPortGetsOneThatNothingOfTheNodeHas) {
  const auto config = configure({"--binary-port", "9947"});
  ASSERT_TRUE(config);
  TakenPorts taken{.rpc = {9944, 9945, 9946}, .binary = {9947, 9948, 9949}};
  EXPECT_EQ(ports_of_added(*config, taken), std::pair(std::uint16_t{9951}, std::uint16_t{9952})) << "9950: metrics";
  EXPECT_EQ(ports_of_added(*config, taken), std::pair(std::uint16_t{9953}, std::uint16_t{9954}));
  EXPECT_EQ(added_validator(*config, taken, "eve", 9955)->binary_port, 9956) << "9955 is the other one";
}

TEST(Config, WhereTheLastPortIsTakenAnAddedValidatorGetsOneBelow) {
  const auto config = configure({"--web-port", "65534"});
  ASSERT_TRUE(config);
  TakenPorts taken{.rpc = {9944, 9945, 9946, 65535}, .binary = {}};
  EXPECT_EQ(ports_of_added(*config, taken).first, 9947);
  taken.rpc = {65535};
  EXPECT_EQ(ports_of_added(*config, taken).first, 65533) << "65534: web";
}

TEST(Config, WhereNoPortIsLeftThatIsSaid) {
  const auto config = configure({"--binary-port", "9960"});
  ASSERT_TRUE(config);
  TakenPorts taken;
  for (std::uint32_t port = 1024; port < 65535; ++port) taken.rpc.push_back(static_cast<std::uint16_t>(port));
  auto refused = added_validator(*config, taken, "dave", 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().to_string(), "port: none is left for its binary RPC: this node has all from 1024 to 65535");
  taken.rpc.push_back(65535);
  refused = added_validator(*config, taken, "dave", 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().to_string(), "port: none is left: this node has all from 1024 to 65535");
}

TEST(Config, OneValidatorByName) {
  const auto config = configure(
      {"--validator", "--name", "bob-2", "--qssh-queue-port", "9000", "--queue-max-depth=7", "--data-dir", "/d"});
  ASSERT_TRUE(config);
  ASSERT_EQ(config->validators.size(), 1U);
  EXPECT_EQ(config->validators[0].name, "bob-2");
  EXPECT_EQ(config->validators[0].port, 9000);
  EXPECT_EQ(config->validators[0].queue.max_depth, 7U);
  EXPECT_EQ(config->validators[0].directory, "/d/bob-2");
}

TEST(Config, MistakesNameTheFlagAndTheRemedy) {
  const std::pair<Words, const char*> mistakes[] = {
      {{"--prot-offset", "1"}, "--prot-offset: unknown flag (did you mean --port-offset?)"},
      {{"--metrics-port", "65536"}, "--metrics-port: expected a port from 1 to 65535, or 0 for none"},
      {{"--web-port", "9944"}, "--web-port: alice has port 9944 of the web port"},
      {{"confg", "show"}, "confg: unknown command (did you mean config?)"},
      {{"config", "shw"}, "shw: unknown command (did you mean show?)"},
      {{"config"}, "config: needs a command: check or show"},
      {{"--data-dir", "/x", "wal", "dump", "--output", "json"}, "wal: must come first"},
      {{"--validator"}, "needs --name NAME"},
      {{"--name", "x"}, "needs --validator"},
      {{"--qssh-queue-port", "9000"}, "--port-offset"},
      {{"--validator", "--name", "x", "--dev"}, "choose one"},
      {{"--validator", "--name", "Alice"}, "'Alice' is no name for a validator"},
      {{"--validator", "--name", "aggregate"}, "is not aggregate"},
      {{"--validator", "--name", "../x"}, "is no name for a validator"},
      {{"--validator", "--name", "-x"}, "no name for a validator"},
      {{"--validators", "0"}, "--validators: expected a number from 1 to 100"},
      {{"--validators", "x"}, "got 'x'"},
      {{"--queue-mode", "validator"}, "does not have yet"},
      {{"--queue-mode", "mannual"}, "expected manual"},
      {{"--port-offset", "60000"}, "is over 65535"},
      {{"--listen", "0.0.0.0"}, "--allow-remote allows that"},
      {{"--listen", "0.0.0.0", "--allow-remote"}, "need tokens: --rpc-token-file FILE"},
      {{"--listen", "localhost"}, "is no IP address"},
      {{"--require-token"}, "needs --rpc-token-file FILE"},
      {{"--binary-port", "65536"}, "a port from 1 to 65535, or 0 for none"},
      {{"--binary-port", "9943"}, "has port 9944"},
      {{"--binary-port", "65534", "--validators", "3"}, "port 65536 of the binary RPC of charlie is over 65535"},
      {{"--binary-port", "9960", "--rpc-token-file", "f", "--require-token"}, "does not go with require-token"},
      {{"--binary-port", "9960", "--rpc-token-file", "f", "--allow-remote"}, "it is for loopback alone"},
      {{"--log-level", "inof"}, "(did you mean info?)"},
      {{"--queue-lease-default", "30"}, "expected a time of at most 36500d with its unit"},
      {{"--queue-max-bytes", "1MB"}, "expected a size in bytes"},
      {{"--queue-max-message-bytes", "5GiB"}, "expected less than 4GiB"},
      {{"--queue-stop-within", "0s"}, "--queue-stop-within: must be at least 100ms"},
      {{"--queue-stop-within", "99ms"}, "--queue-stop-within: must be at least 100ms"},
      {{"--queue-max-deliveries", "0"}, "--queue-max-deliveries: must be 1 to 1000"},
      {{"--queue-rate-limit", "-1"}, "--queue-rate-limit: expected 0 for no limit, or a number from 0.001 to"},
      {{"--queue-rate-limit", "nan"}, "--queue-rate-limit: expected 0 for no limit"},
      {{"--queue-rate-limit", "inf"}, "1000000000, got 'inf'"},
      {{"--queue-submitter-rate-limit", "1e308"}, "--queue-submitter-rate-limit: expected 0 for no limit"},
      {{"--queue-submitter-rate-limit", "1e-10"}, "from 0.001"},
      {{"--queue-rate-burst", "nan"}, "--queue-rate-burst: expected a number from 1 to 1000000000, got 'nan'"},
      {{"--queue-submitter-rate-burst", "0"}, "--queue-submitter-rate-burst: expected a number from 1 to"},
      {{"--queue-rate-burst", "5"}, "--queue-rate-burst: has no effect without a limit: give queue.rate-limit, too"},
      {{"--queue-submitter-rate-burst", "5", "--queue-rate-limit", "1"}, "give queue.submitter-rate-limit, too"},
      {{"--allow-remote"}, "--allow-remote: has no effect without --listen"},
      {{"--queue-max-waiters", "0"}, "--queue-max-waiters: expected an integer from 1 to 1000000, got '0'"},
      {{"--port-offset"}, "--port-offset: needs a value, N"},
      {{"config", "show", "--output"}, "--output: needs a value, FORMAT"},
      {{"--data-dir", "--dev"}, "--data-dir: needs a value, DIR"},
      {{"config", "show", "--output", "--dev"}, "--output: needs a value, FORMAT"},
      {{"--port-offset", "65536"}, "--port-offset: expected a number from 0 to 65535, got '65536'"},
      {{"--port-offset", "18446744073709551615"}, "--port-offset: expected a number from 0 to 65535"},
      {{"--allow-host", "*"}, "--allow-host: expected a name or an address"},
      {{"--listen", "127.0.0.1", "--listen", "127.0.0.1"}, "--listen: 127.0.0.1 is there twice"},
      {{"--listen", "::1", "--listen", "0:0:0:0:0:0:0:1"}, "--listen: 0:0:0:0:0:0:0:1 is one address with ::1"},
      {{"--listen", "127.0.0.1", "--listen", "0.0.0.0", "--allow-remote", "--rpc-token-file", "f"},
       "--listen: 0.0.0.0 is one address with 127.0.0.1"},
      {{"--port", "9000"}, "--port: unknown flag (did you mean --qssh-queue-port, --binary-port, --port-offset, "},
      {{"--max-depth", "9"}, "--max-depth: unknown flag (did you mean --queue-max-depth?)"},
      {{"--web", "0"}, "--web: unknown flag (did you mean --web-port?)"},
      {{"--offset=9"}, "--offset: unknown flag (did you mean --port-offset?)"},
      {{"--queue-lease-min", "2h"},
       "--queue-lease-min: with 2h, --queue-lease-default (30s) must lie between --queue-lease-min (2h) and "
       "--queue-lease-max (1h)"},
      {{"--queue-lease-default", "5h"},
       "--queue-lease-default: must lie between --queue-lease-min (100ms) and --queue-lease-max (1h)"},
      {{"--queue-lease-min", "0s"}, "--queue-lease-min: must be longer than 0"},
      {{"--queue-segment-bytes-max", "1MiB"},
       "--queue-segment-bytes-max: with 1MiB, --queue-segment-bytes-min (4MiB) is over --queue-segment-bytes-max "
       "(1MiB)"},
      {{"--queue-max-depth", "9223372036854775808"}, "expected an integer of at most 9223372036854775807"},
      {{"--config", ""}, "--config: expected FILE, got ''"},
      {{"--config="}, "--config: needs a value behind the ="},
      {{"--data-dir", ""}, "--data-dir: expected a directory, got ''"},
      {{"--data-dir=", "config", "check"}, "--data-dir: needs a value behind the ="},
      {{"--rpc-token-file", ""}, "--rpc-token-file: expected FILE, got ''"},
      {{"--validator", "--name", ""}, "--name: expected NAME, got ''"},
      {{"--version=3"}, "--version: takes no value"},
      {{"config", "check", "show"}, "config: check or show, not both"},
      {{"config", "show", "--output", "json", "check"}, "config: check or show, not both"},
      {{"config", "show", "man"}, "config and man: one command at a time"},
      {{"--port-offset", "3", "man"}, "--port-offset: is not for man"},
      {{"--config", "f", "completion", "bash"}, "--config: is not for completion"},
      {{"--dev=false"}, "--dev: false, and nothing else is there to run"},
      {{"--dev=false", "--validators", "2"}, "--dev: false, and --validators asks for dev validators"},
  };
  for (const auto& [arguments, text] : mistakes) {
    EXPECT_NE(first_mistake(arguments).find(text), std::string::npos)
        << arguments.front() << ": " << first_mistake(arguments);
  }
}

TEST(Config, AnOriginIsOneThatABrowserCanSend) {
  for (const char* origin :
       {"https://wallet.example", "http://localhost:3000", "http://[::1]:8080", "https://127.0.0.1",
        "chrome-extension://abcdef", "https://[2001:db8::1]", "http://a.b:443"}) {
    EXPECT_TRUE(configure({"--allow-origin", origin})) << origin;
  }
  for (const char* origin :
       {"foo", "*", "https://a.b/", "https://a.b/x", "https://", "https://*.b", "a.b:80", "null", "", "https://a.b:443",
        "http://a.b:80", "https://a.b:", "https://a.b:0", "https://a.b:65536", "https://[::1", "https://[a.b]",
        "://a.b", "https://u@a.b", "https://a.b?q"}) {
    EXPECT_NE(first_mistake({"--allow-origin", origin})
                  .find("--allow-origin: expected an origin as browsers send it, scheme://host"),
              std::string::npos)
        << origin;
  }
}

TEST(Config, UnknownVariablesAreRefused) {
  const char* const environment[] = {"QUANTUMHARMONY_DATADIR=/x", "QUANTUMHARMONY_CONFG=/x", "QUANTUMHARMONY_X=1",
                                     nullptr};
  std::string config_file;
  Mistakes mistakes;
  (void)read_environment(environment, config_file, mistakes);
  ASSERT_EQ(mistakes.size(), 3U);
  EXPECT_EQ(mistakes[0], "QUANTUMHARMONY_DATADIR: unknown variable (did you mean QUANTUMHARMONY_DATA_DIR?)");
  EXPECT_EQ(mistakes[1], "QUANTUMHARMONY_CONFG: unknown variable (did you mean QUANTUMHARMONY_CONFIG?)");
  EXPECT_EQ(mistakes[2], "QUANTUMHARMONY_X: unknown variable") << "the prefix makes nothing alike";
}

TEST(Config, AVariableThatIsEmptyIsRefusedButOfAList) {
  const char* const environment[] = {
      "QUANTUMHARMONY_CONFIG=", "QUANTUMHARMONY_RPC_TOKEN_FILE=", "QUANTUMHARMONY_ALLOW_HOST=", nullptr};
  std::string config_file;
  Mistakes mistakes;
  const auto variables = read_environment(environment, config_file, mistakes);
  EXPECT_EQ(mistakes, Mistakes{"QUANTUMHARMONY_CONFIG: expected FILE, got ''"});
  const auto config = configure({}, {}, variables);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error(), Mistakes{"QUANTUMHARMONY_RPC_TOKEN_FILE: expected FILE, got ''"});
}

TEST(Config, EverySettingShowsWhatItTakes) {
  for (const auto& setting : settings()) {
    SCOPED_TRACE(setting.name);
    Settings taken;
    const auto shown = setting.show(taken);
    if (!shown.empty()) {
      EXPECT_TRUE(setting.set(taken, {shown})) << shown;
    }
    EXPECT_EQ(setting.show(taken), shown);
    EXPECT_FALSE(setting.meaning.empty());
  }
}

TEST(Config, EveryOptionOfTheQueueThatCanBeWrongHasItsSetting) {
  for (const char* option :
       {"max_depth", "max_bytes", "max_message_bytes", "max_deliveries", "max_batch_messages", "queue_rate_limit",
        "submitter_rate_limit", "lease_default", "segment_bytes_min", "batches_in_flight", "stop_within"}) {
    EXPECT_NE(find_setting(setting_of_queue_option(option)), nullptr) << option;
  }
}

TEST(Config, UnitsReadBackTheSame) {
  for (const char* text : {"1ns", "1500us", "500ms", "30s", "10min", "1h", "30d", "0s"}) {
    const auto value = parse_duration(text);
    ASSERT_TRUE(value) << text;
    EXPECT_EQ(parse_duration(duration_text(*value)), *value) << text;
  }
  for (const char* text : {"", "s", "-1s", "1", "1.5s", "1 week", "9999999999999d"})
    EXPECT_FALSE(parse_duration(text)) << text;
  EXPECT_EQ(*parse_bytes("64 MiB"), 64U << 20);
  EXPECT_EQ(bytes_text(65537), "65537");
  EXPECT_EQ(bytes_text(256U << 10), "256KiB");
}

TEST(Config, HelpAndVersionAreActions) {
  EXPECT_EQ(parse_command_line({"--version"})->action, Action::kVersion);
  const auto help = parse_command_line({"--help"});
  EXPECT_EQ(help->action, Action::kHelp);
  for (const auto& setting : settings())
    EXPECT_NE(help->text.find(flag_of(setting)), std::string::npos) << setting.name;
  const auto truth = help->text.substr(help->text.find("Each of these flags but"));
  for (const char* part : {"--help and --version is an environment variable",
                           "--config and --validator, --name, "
                           "--qssh-queue-port a key of the configuration file"}) {
    EXPECT_NE(truth.find(part), std::string::npos) << truth;
  }
  for (const char* command : {"\n  config ", "\n  wal "})
    EXPECT_NE(help->text.find(command), std::string::npos) << command;
  EXPECT_EQ(parse_command_line({"config", "check"})->action, Action::kConfigCheck);
  EXPECT_TRUE(parse_command_line({"config", "show", "--output", "json"})->json);
  EXPECT_EQ(parse_command_line({"config", "show", "--data-dir", "/x"})->flags.at("data-dir").values, Words{"/x"});
  EXPECT_FALSE(parse_command_line({"config"}));
}

TEST(Config, TheDocumentIsTheTable) {
  constexpr const char* kPath = "docs/configuration.md";
  if (std::getenv("QH_WRITE_DOCS") != nullptr) std::ofstream(kPath) << configuration_markdown();
  std::ifstream file(kPath);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_TRUE(text == configuration_markdown()) << kPath << " is stale; its first lines say how it is made";
}

}  // namespace
}  // namespace qh::node
