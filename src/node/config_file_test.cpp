#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "node/config_bed.h"

namespace qh::node {
namespace {

class ConfigFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "qh-config-XXXXXX").string();
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    directory_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  tl::expected<GivenFile, Mistakes> read(std::string_view text) {
    const auto file = directory_ / "node.toml";
    std::ofstream(file) << text;
    return read_config_file(file);
  }

  std::filesystem::path directory_;
};

TEST_F(ConfigFile, FlagsWinOverTheEnvironmentOverTheFile) {
  const auto file = read(
      "data-dir = \"/file\"\nport-offset = 1\nlog-level = \"warn\"\n[queue]\nmax-depth = 5\nlease-default = "
      "\"1min\"\n");
  ASSERT_TRUE(file);
  const char* const environment[] = {"PATH=/bin",
                                     "QUANTUMHARMONY_PORT_OFFSET=2",
                                     "QUANTUMHARMONY_QUEUE_MAX_DEPTH=6",
                                     "QUANTUMHARMONY_ALLOW_HOST=a.example,b.example",
                                     "QUANTUMHARMONY_CONFIG=/c.toml",
                                     nullptr};
  std::string config_file;
  Mistakes mistakes;
  const auto variables = read_environment(environment, config_file, mistakes);
  EXPECT_TRUE(mistakes.empty());
  EXPECT_EQ(config_file, "/c.toml");
  const auto config = configure({"--port-offset", "3"}, *file, variables);
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->settings.port_offset, 3U);
  EXPECT_EQ(config->settings.queue.max_depth, 6U);
  EXPECT_EQ(config->settings.queue.lease_default, std::chrono::minutes(1));
  EXPECT_EQ(config->data_dir, "/file");
  EXPECT_EQ(config->settings.allow_host, (Words{"a.example", "b.example"}));
  const auto shown = show_config(*config);
  EXPECT_NE(shown.find("# --port-offset\n"), std::string::npos) << shown;
  EXPECT_NE(shown.find("# QUANTUMHARMONY_QUEUE_MAX_DEPTH\n"), std::string::npos) << shown;
  EXPECT_NE(shown.find("node.toml:3\n"), std::string::npos) << shown;
  EXPECT_NE(shown.find("\nmax-bytes = \"1GiB\""), std::string::npos) << shown;
}

TEST_F(ConfigFile, WhatIsShownReadsBackTheSame) {
  const auto config = configure({"--queue-fairness", "3", "--allow-origin", "https://a.example", "--data-dir", "/d",
                                 "--queue-rate-limit", "0.5", "--listen", "127.0.0.1"});
  ASSERT_TRUE(config);
  const auto file = read(show_config(*config));
  ASSERT_TRUE(file) << file.error().front();
  const auto again = configure({}, *file);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->settings.queue.fairness, 3U);
  EXPECT_EQ(again->settings.queue.queue_rate_limit, 0.5);
  EXPECT_EQ(again->settings.allow_origin, Words{"https://a.example"});
  EXPECT_EQ(again->settings.listen, Words{"127.0.0.1"});
  EXPECT_EQ(again->data_dir, "/d");
}

TEST_F(ConfigFile, ValidatorsAreTables) {
  const auto file = read(
      "[[validator]]\nname = \"zoe\"\nqssh-queue-port = 9948\n[[validator]]\nname = \"yan\"\n[[validator]]\nname = "
      "\"xi\"\n");
  ASSERT_TRUE(file);
  const auto config = configure({}, *file);
  ASSERT_TRUE(config);
  EXPECT_FALSE(config->dev);
  ASSERT_EQ(config->validators.size(), 3U);
  EXPECT_EQ(config->validators[1].port, 9949);
  EXPECT_EQ(config->validators[2].port, 9951);
  EXPECT_EQ(configure({"--dev"}, *file)->validators[0].name, "alice");
  EXPECT_EQ(configure({"--validator", "--name", "w"}, *file)->validators[0].name, "w");
  const auto twice = read("[[validator]]\nname = \"zoe\"\n[[validator]]\nname = \"zoe\"\n");
  EXPECT_NE(first_mistake({}, *twice).find("there is another validator zoe"), std::string::npos);
}

TEST_F(ConfigFile, ValidatorsBesideTheDevNetworkAreNotPassedOver) {
  for (const char* text : {"dev = true\n", "validators = 2\n"}) {
    const auto file = read(std::string(text) + "[[validator]]\nname = \"zed\"\n");
    ASSERT_TRUE(file);
    const auto mistake = first_mistake({}, *file);
    EXPECT_NE(mistake.find("node.toml:1: "), std::string::npos) << mistake;
    EXPECT_NE(mistake.find("node.toml:2 has a [[validator]] zed; take one of the two out"), std::string::npos)
        << mistake;
  }
  const auto off = read("dev = false\n[[validator]]\nname = \"zed\"\n");
  EXPECT_EQ(configure({}, *off)->validators.front().name, "zed");
  EXPECT_EQ(configure({"--dev"}, *off)->validators.front().name, "alice") << "a flag wins over the file";
}

TEST_F(ConfigFile, MistakesHaveTheirLine) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"\ndata_dir = \"/x\"\n", ":2: unknown key data_dir (did you mean data-dir?)"},
      {"[queue]\nmax-dpeth = 1\n", ":2: unknown key max-dpeth in [queue] (did you mean max-depth?)"},
      {"[queue]\ndata-dir = \"x\"\n", "unknown key data-dir in [queue] (it stands above every table)"},
      {"max-depth = 1\n", ":1: unknown key max-depth (it is max-depth of [queue])"},
      {"\nqueue-max-depth = 1\n", ":2: unknown key queue-max-depth (it is max-depth of [queue])"},
      {"[queue]\nqueue-max-depth = 1\n", ":2: unknown key queue-max-depth in [queue] (did you mean max-depth?)"},
      {"web = 1\n", ":1: unknown key web (did you mean web-port?)"},
      {"queue = 7\n", "queue is a table"},
      {"validator = true\n", "validators are tables"},
      {"name = \"x\"\n", "is no key of the file"},
      {"[[validator]]\nport = 1\nname = \"x\"\n", ":2: unknown key port in [[validator]]"},
      {"[[validator]]\nqssh-queue-port = 0\nname = \"x\"\n",
       ":2: qssh-queue-port: expected a port from 1 to 65535, got the integer 0"},
      {"[[validator]]\nqssh-queue-port = \"9\"\nname = \"x\"\n", "got the text \"9\""},
      {"[[validator]]\nname = 7\n", ":2: name: expected text in quotes, got the integer 7"},
      {"[[validator]]\n", "has no name"},
      {"data-dir = [\"a\"]\n", ":1: data-dir: expected text in quotes, got an array"},
      {"data-dir = true\n", ":1: data-dir: expected text in quotes, got true"},
      {"data-dir = 3\n", ":1: data-dir: expected text in quotes, got the integer 3"},
      {"web-port = 8080.0\n", ":1: web-port: expected an integer, got the number 8080.0"},
      {"\ndev = \"true\"\n", ":2: dev: expected true or false, got the text \"true\""},
      {"validators = \"2\"\n", ":1: validators: expected an integer, got the text \"2\""},
      {"[queue]\nmax-depth = \"7\"\n", ":2: queue.max-depth: expected an integer, got the text \"7\""},
      {"[queue]\nmax-bytes = 1.5\n", "expected an integer, or text with a unit, as \"64MiB\", got the number 1.5"},
      {"[queue]\nlease-default = 30\n", "expected text with a unit, as \"30s\", got the integer 30"},
      {"[queue]\nrate-limit = \"5\"\n", "queue.rate-limit: expected a number, got the text \"5\""},
      {"[queue]\nlease-default = 07:32:00\n", "got a date or a time"},
      {"listen = 7\n", "listen: expected an array of texts, or one text, got the integer 7"},
      {"allow-host = [\"a\",\n1]\n", ":2: allow-host: expected text in quotes, got the integer 1"},
      {"rpc-token-file = {}\n", "got a table"},
      {"\na.b.c.d.e.f.g.h.i = 1\n", ":2: a key of more than 8 parts"},
      {"data-dir = \n", ":1: "},
      {"data-dir = \"a\\u0000b\"\n", ":1: data-dir: expected text in quotes, got the text \"a\\u0000b\""},
      {"listen = [[1]]\n", "expected text in quotes, got an array"},
  };
  for (const auto& [text, expected] : mistakes) {
    const auto file = read(text);
    ASSERT_FALSE(file) << text;
    EXPECT_NE(file.error().front().find(expected), std::string::npos) << file.error().front();
  }
  EXPECT_FALSE(read_config_file(directory_ / "none.toml"));
  const auto lease = read("\n[queue]\nlease-min = \"2h\"\n");
  EXPECT_NE(first_mistake({}, *lease)
                .find("node.toml:3: queue.lease-min: with 2h, queue.lease-default (30s) must lie "
                      "between queue.lease-min (2h) and queue.lease-max (1h)"),
            std::string::npos)
      << first_mistake({}, *lease);
  const auto late = read("[queue]\nmax-deliveries = 0\n");
  EXPECT_NE(first_mistake({}, *late).find("node.toml:2: queue.max-deliveries: must be 1 to 1000"), std::string::npos)
      << first_mistake({}, *late);
}

TEST_F(ConfigFile, EachSettingTakesTheTypesOfItsKind) {
  const auto file = read(
      "listen = \"127.0.0.1\"\nallow-host = [\"a.example\", \"b.example\"]\nallow-faults = true\nport-offset = 0x10\n"
      "[queue]\nmax-bytes = 1048577\nmax-tx-bytes = \"64 KiB\"\nrate-limit = 5\nsubmitter-rate-limit = 0.5\n"
      "lease-default = \"1min\"\n");
  ASSERT_TRUE(file) << file.error().front();
  const auto config = configure({}, *file);
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->settings.listen, Words{"127.0.0.1"});
  EXPECT_EQ(config->settings.port_offset, 16U);
  EXPECT_EQ(config->settings.queue.max_bytes, 1'048'577U);
  EXPECT_EQ(config->settings.queue.max_tx_bytes, 65'536U);
  EXPECT_EQ(config->settings.queue.queue_rate_limit, 5);
  EXPECT_EQ(config->settings.queue.submitter_rate_limit, 0.5);
}

TEST_F(ConfigFile, WhatIsShownHasTheTypesThatAreTaken) {
  for (const auto& more : {Words{}, Words{"--queue-max-depth", "9223372036854775807"},
                           Words{"--queue-rate-limit", "1000000000", "--queue-rate-burst", "1.5"},
                           Words{"--queue-max-bytes", "1073741825"}, Words{"--rpc-token-file", "7"},
                           Words{"--listen", "127.0.0.1", "--listen", "::1"}}) {
    const auto config = configure(more);
    ASSERT_TRUE(config) << config.error().front();
    const auto file = read(show_config(*config));
    ASSERT_TRUE(file) << file.error().front();
    const auto again = configure({}, *file);
    ASSERT_TRUE(again) << again.error().front();
    for (const auto& setting : settings()) {
      if (setting.name == "dev" || setting.name == "data-dir") continue;  // shown as they came out
      EXPECT_EQ(setting.show(again->settings), setting.show(config->settings)) << setting.name;
    }
  }
}

/// The line of what is shown that begins so, without the spaces in front of its origin.
std::string shown_line(const Config& config, const std::string& begin) {
  const auto shown = show_config(config);
  const auto from = shown.find("\n" + begin) + 1;
  auto line = shown.substr(from, shown.find('\n', from) - from);
  const auto origin = line.rfind("  # ");
  return line.erase(line.find_last_not_of(' ', origin) + 1, origin - line.find_last_not_of(' ', origin));
}

TEST_F(ConfigFile, WhereAValidatorsNameAndPortComeFromIsShown) {
  const auto file = read("[[validator]]\nqssh-queue-port = 9948\nname = \"zoe\"\n[[validator]]\nname = \"yan\"\n");
  ASSERT_TRUE(file);
  const auto config = configure({}, *file);
  ASSERT_TRUE(config);
  const auto where = (directory_ / "node.toml").string();
  EXPECT_EQ(shown_line(*config, "name = \"zoe\""), "name = \"zoe\" # " + where + ":3");
  EXPECT_EQ(shown_line(*config, "qssh-queue-port = 9948"), "qssh-queue-port = 9948 # " + where + ":2");
  EXPECT_EQ(shown_line(*config, "name = \"yan\""), "name = \"yan\" # " + where + ":5");
  EXPECT_EQ(shown_line(*config, "qssh-queue-port = 9949"), "qssh-queue-port = 9949 # default: the one after the last");
  EXPECT_NE(show_config_json(*config).find(R"("port":9949,"port_origin":"default: the one after the last")"),
            std::string::npos);
  const auto one = configure({"--validator", "--name", "w"});
  EXPECT_EQ(shown_line(*one, "name = "), "name = \"w\" # --name");
  EXPECT_EQ(shown_line(*one, "qssh-queue-port = "), "qssh-queue-port = 9944 # default");
  const auto both = configure({"--validator", "--name", "w", "--qssh-queue-port", "9000"});
  EXPECT_EQ(shown_line(*both, "qssh-queue-port = "), "qssh-queue-port = 9000 # --qssh-queue-port");
  EXPECT_EQ(shown_line(*configure({}), "# name = \"bob\""), "# name = \"bob\" # the dev network");
}

TEST_F(ConfigFile, WhyItIsTheDevNetworkIsShown) {
  EXPECT_EQ(shown_line(*configure({}), "dev = "), "dev = true # default: nothing else was asked for");
  EXPECT_EQ(shown_line(*configure({"--dev"}), "dev = "), "dev = true # --dev");
  EXPECT_EQ(shown_line(*configure({"--validators", "2"}), "dev = "), "dev = true # --validators");
  EXPECT_NE(show_config_json(*configure({})).find(R"("dev":{"value":true,"origin":"default: nothing else)"),
            std::string::npos);
}

TEST_F(ConfigFile, WithoutTheDevNetworkSomethingElseMustBeThere) {
  const auto off = read("\ndev = false\n");
  EXPECT_NE(first_mistake({}, *off).find("node.toml:2: dev: false, and nothing else is there to run"),
            std::string::npos);
  EXPECT_EQ(configure({"--validators", "2"}, *off)->validators.size(), 2U) << "a flag wins over the file";
  const auto both = read("dev = false\nvalidators = 2\n");
  EXPECT_NE(first_mistake({}, *both).find("take one of the two out"), std::string::npos);
}

TEST_F(ConfigFile, AKeyOfVeryManyPartsIsRefusedAndNoCrash) {
  std::string key = "a";
  for (int i = 1; i < 100'000; ++i) key += ".a";
  std::string nested, ends;  // the parser bounds arrays in each other, and each may have keys of its own
  for (int i = 0; i < 100; ++i, ends += "}]") nested += key.substr(0, 3'000) + "a = [\n{";
  for (const auto& text : {"\n" + key + " = 1\n", "\n[" + key + "]\n", "\n[[" + key + "]]\n",
                           "\nx = {" + key + " = 1}\n", "\n" + nested + "b = 1" + ends + "\n"}) {
    const auto file = read(text);
    ASSERT_FALSE(file);
    EXPECT_NE(file.error().front().find("node.toml:2: a key of more than 8 parts; no key has more than two"),
              std::string::npos)
        << file.error().front();
  }
  // As deep as it may be.
  nested.clear(), ends.clear();
  for (int i = 0; i < 250; ++i, ends += "}") nested += "a.a.a.a.a.a.a.a = {";
  EXPECT_FALSE(read("[a.a.a.a.a.a.a.a]\n" + nested + ends + "\n"));
}

TEST_F(ConfigFile, AProcessHasABoundedNumberOfValidators) {
  const auto of = [&](std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += "[[validator]]\nname = \"v" + std::to_string(i) + "\"\n";
    return *read(text);
  };
  EXPECT_EQ(first_mistake({"--metrics-port", "0"}, of(kValidatorsMax)), "");
  EXPECT_NE(first_mistake({}, of(kValidatorsMax + 1))
                .find("node.toml:201: one [[validator]] too many: a process runs 100 at the most"),
            std::string::npos)
      << first_mistake({}, of(kValidatorsMax + 1));
}

}  // namespace
}  // namespace qh::node
