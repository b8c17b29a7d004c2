#include "node/start_screen.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace qh::node {
namespace {

struct Ink {
  std::string_view strong, quiet, good, off;
};
constexpr Ink kPlainInk{"", "", "", ""};
constexpr Ink kColourInk{"\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[0m"};

std::string counted(std::uint64_t count, std::string_view one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

std::string curl(std::string_view place, bool needs_token, std::string_view method, std::string_view params) {
  return fmt::format(R"(curl http://{}{} -d '{{"jsonrpc":"2.0","method":"{}","params":{},"id":1}}')", place,
                     needs_token ? R"( -H "Authorization: Bearer $TOKEN")" : "", method, params);
}

/// "binary RPC on localhost, ports: alice 9960, bob 9961"
std::string binary_ports(const std::string& host, const std::vector<ScreenValidator>& validators) {
  std::string text;
  for (const auto& validator : validators)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", validator.name, validator.binary_port);
  return "binary RPC on " + host + ", ports: " + text;
}

}  // namespace

std::string shown_host(const std::vector<std::string>& listen) {
  // "localhost" is tried on both of its addresses.
  constexpr std::array<std::string_view, 4> kReachedAsLocalhost{"127.0.0.1", "::1", "0.0.0.0", "::"};
  const auto as_localhost = [&](const std::string& address) {
    return std::ranges::find(kReachedAsLocalhost, address) != kReachedAsLocalhost.end();
  };
  if (listen.empty() || std::ranges::any_of(listen, as_localhost)) return "localhost";
  return listen.front().find(':') == std::string::npos ? listen.front() : "[" + listen.front() + "]";
}

std::string recovered_text(const queue::RecoveryReport& report) {
  if (report.created) return "new queue";
  auto text = counted(report.messages, "message");
  if (report.dead_letters != 0) text += ", " + counted(report.dead_letters, "dead letter");
  text += fmt::format(" recovered in {:.1f} ms", static_cast<double>(report.took.count()) / 1e6);
  if (report.torn_bytes != 0) text += fmt::format(", {} torn bytes set aside", report.torn_bytes);
  return text;
}

std::string start_screen(const Screen& screen, Paint paint) {
  const auto host = shown_host(screen.listen);
  const auto& ink = paint == Paint::kColour ? kColourInk : kPlainInk;
  std::size_t widest = 9;
  for (const auto& validator : screen.validators) widest = std::max(widest, validator.name.size());

  std::string out =
      fmt::format("\n  {}QuantumHarmony{} {}{}{}\n", ink.strong, ink.off, ink.quiet, screen.version, ink.off);
  if (screen.dev_by_default) {
    out += fmt::format("  {}No validator was asked for, so this is the dev network (--dev). --help tells the rest.{}\n",
                       ink.quiet, ink.off);
  }
  out += fmt::format("\n  {}{:<{}}  {:<26}  state{}\n", ink.quiet, "validator", widest, "JSON-RPC", ink.off);
  for (const auto& validator : screen.validators) {
    out += fmt::format("  {}{:<{}}{}  {:<26}  {}ready{}  {}{}{}\n", ink.strong, validator.name, widest, ink.off,
                       fmt::format("http://{}:{}", host, validator.port), ink.good, ink.off, ink.quiet,
                       recovered_text(validator.recovery), ink.off);
  }
  out += '\n';
  const auto line = [&](std::string_view what, std::string_view text) {
    out += fmt::format("  {}{:<{}}{}  {}\n", ink.quiet, what, widest, ink.off, text);
  };
  if (screen.validators.front().binary_port != 0) line("binary", binary_ports(host, screen.validators));
  if (screen.web_port != 0) line("page", fmt::format("http://{}:{}/", host, screen.web_port));
  if (screen.metrics_port != 0)
    line("metrics", fmt::format("ws://{}:{}/qssh-queue-metrics", host, screen.metrics_port));
  line("data", screen.data_dir.string());
  if (!screen.write_method.empty()) line("disk", "durable writes by " + screen.write_method);
  const auto place = fmt::format("{}:{}", host, screen.validators.front().port);
  out += fmt::format("\n  {}Try{}\n", ink.quiet, ink.off);
  out += "    " +
         curl(place, screen.needs_token, "qssh_submitMessage", R"({"Gossip":{"topic":"test","data":[1,2,3]}})") + "\n";
  out += "    " + curl(place, screen.needs_token, "qssh_getMetrics", "[]") + "\n";
  out += "    " + curl(place, screen.needs_token, "qssh_popMessage", "[]") + "\n";
  out += fmt::format("\n  {}Ctrl-C stops; what is in memory is kept.{}\n\n", ink.quiet, ink.off);
  return out;
}

}  // namespace qh::node
