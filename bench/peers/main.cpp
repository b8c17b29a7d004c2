// bench/peers/main.cpp - bench_peers: one measurement, its figures as a line of JSON. run.py starts the servers, calls
// it in turn for each and makes the table.
#include <cstdio>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "bench/peers/generator/load.h"
#include "bench/peers/generator/raw_disk.h"

namespace qh::bench {
namespace {

int report(const Error& error) {
  fmt::print(stderr, "bench_peers: {}\n", error.to_string());
  return 1;
}

std::string fields(const Summary& summary) {
  return fmt::format(R"("messages":{},"seconds":{:.3f},"rate":{:.1f},"p50_us":{:.1f},"p99_us":{:.1f},"max_us":{:.1f})",
                     summary.messages, summary.seconds, summary.rate, summary.p50_us, summary.p99_us, summary.max_us);
}

int closed_loop(const Plan& plan, const std::string& generator) {
  auto seen = generator == "blocking" ? blocking_clients(plan) : event_loop(plan);
  if (!seen) return report(seen.error());
  fmt::print("{{{}}}\n", fields(summarize(std::move(*seen), plan.warm_up_s, plan.batch)));
  return 0;
}

int offered(const Offer& offer) {
  auto result = offered_load(offer);
  if (!result) return report(result.error());
  fmt::print(R"({{{},"due":{},"lost":{},"not_sent":{}}})"
             "\n",
             fields(summarize(std::move(result->seen), offer.plan.warm_up_s, offer.plan.batch)), result->due,
             result->lost, result->not_sent);
  return 0;
}

int disk(const std::string& directory, double seconds) {
  const auto rates = raw_disk(directory, seconds);
  if (!rates) return report(rates.error());
  fmt::print(R"({{"overwrite":{:.1f},"append":{:.1f}}})"
             "\n",
             rates->overwrite, rates->append);
  return 0;
}

void add_plan(CLI::App& command, Plan& plan, std::string& work) {
  command.add_option("--protocol", plan.protocol)->required();
  command.add_option("--port", plan.port)->required();
  command.add_option("--work", work)->check(CLI::IsMember({"put", "take"}))->required();
  command.add_option("--clients", plan.clients)->check(CLI::Range(1, 10'000));
  command.add_option("--batch", plan.batch, "messages a request")->check(CLI::Range(1U, kBatchMax));
  command.add_option("--seconds", plan.seconds)->check(CLI::PositiveNumber);
  command.add_option("--warm-up", plan.warm_up_s, "seconds before them")->check(CLI::NonNegativeNumber);
}

int run(int argc, char** argv) {
  CLI::App app("one measurement of one server that runs already; ./dev bench peers makes them all");
  app.require_subcommand(1);
  Offer offer;
  Plan plan;
  std::string work, generator = "blocking", directory;
  double seconds = 1;
  auto* load = app.add_subcommand("load", "closed loop");
  add_plan(*load, plan, work);
  load->add_option("--messages", plan.messages_max, "at most")->check(CLI::PositiveNumber);
  load->add_option("--generator", generator)->check(CLI::IsMember({"blocking", "epoll"}));
  auto* offered_command = app.add_subcommand("offered", "requests at a fixed rate");
  add_plan(*offered_command, offer.plan, work);
  offered_command->add_option("--rate", offer.rate, "requests/s")->check(CLI::Range(0.1, 1e6));
  offered_command->add_flag("--go-on", offer.go_on, "connect again when the server cuts or refuses");
  auto* disk_command = app.add_subcommand("disk", "durable writes/s");
  disk_command->add_option("--dir", directory)->required();
  disk_command->add_option("--seconds", seconds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  plan.work = offer.plan.work = work == "put" ? Work::kPut : Work::kTake;
  if (load->parsed()) return closed_loop(plan, generator);
  if (offered_command->parsed()) return offered(offer);
  return disk(directory, seconds);
}

}  // namespace
}  // namespace qh::bench

int main(int argc, char** argv) { return qh::bench::run(argc, argv); }
