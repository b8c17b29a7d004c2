// tests/queue/log_tool_machine.h - the log tools over a simulated disk, to their answers.
//
// Threads  one owner.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "queue/log_tools.h"
#include "queue_machine.h"

namespace qh::queue {

/// Runs one of the tool's tasks to its end; false: it stood still (the disk was frozen).
template <class T>
bool run(QueueMachine& machine, LogTool& tool, Task<T>& work) {
  work.start();
  for (int i = 0; work.running() && i < 2'000'000; ++i) {
    if (tool.step()) continue;
    const auto next = tool.next_wakeup();
    if (next != MonoTime::never()) {
      const auto timer = machine.world.at(next, [] {});
      machine.world.run_one();
      machine.world.cancel(timer);
    } else if (!machine.world.run_one()) {
      break;
    }
    if (machine.disk.frozen()) break;
  }
  return !work.running();
}

/// What a tool answers, and the disk as a finished process leaves it.
template <class Start>
auto ask(QueueMachine& machine, Start start) {
  LogTool tool(machine.disk, machine.world, machine.rng);
  auto work = start(tool);
  if (!run(machine, tool, work)) {
    ADD_FAILURE() << machine.disk.trace();
  }
  auto result = work.result();
  machine.disk.process_kill(7);
  machine.disk.reboot();
  return result;
}
inline auto verify(QueueMachine& m) {
  return ask(m, [](LogTool& t) { return t.verify(); });
}
inline auto repair(QueueMachine& m) {
  return ask(m, [](LogTool& t) { return t.repair(); });
}
inline std::vector<std::string> exported(QueueMachine& m) {
  std::vector<std::string> lines;
  auto count =
      ask(m, [&](LogTool& t) { return t.export_lines([&](std::string_view line) { lines.emplace_back(line); }); });
  EXPECT_TRUE(count) << count.error().to_string();
  return lines;
}
inline Result<LogTool::Imported> import(QueueMachine& m, const std::string& text, LogTool::ImportOptions how = {}) {
  return ask(m, [&](LogTool& t) { return t.import_lines(text, how); });
}

inline std::map<std::string, Bytes> files(const SimDisk& disk) {
  std::map<std::string, Bytes> all;
  for (const auto& name : disk.names()) all[name] = *disk.contents(name);
  return all;
}

inline void put_back(SimDisk& disk, const std::map<std::string, Bytes>& all) {
  for (const auto& name : disk.names()) disk.erase(name);
  for (const auto& [name, bytes] : all) disk.set_contents(name, bytes);
}

/// A queue of several segments whose messages are of every state; `ids` are there at its end.
inline std::map<std::string, Bytes> grown(QueueMachine& m, std::map<std::uint64_t, std::string>& ids,
                                          bool stopped = true) {
  EXPECT_TRUE(m.start());
  for (int i = 0; i < 60; ++i) {
    const auto topic = fmt::format("t{}", i);
    const auto id = m.submit(gossip(topic, std::string(3000, 'x')), sync_by("alice"))->id.value();
    ids[id] = topic;
    if (i % 20 != 7) continue;
    EXPECT_TRUE(m.take());  // the oldest
    ids.erase(ids.begin());
  }
  if (stopped) {
    EXPECT_TRUE(m.stop());
  } else {
    m.run_for(std::chrono::milliseconds(200));  // at rest all that was acknowledged lies below a mark
    m.process_kill(3);
  }
  return files(m.disk);
}

}  // namespace qh::queue
