// fuzz_replay.cpp - main() for a fuzz target in a build without libFuzzer.
//
// Gives the target the empty input, every file of the corpus folders named on the command line, and of each file some
// truncations and bit flips, the same ones in every run. The input at hand is named when the target dies.

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kVariantsPerFile = 64;

std::array<char, 1024> g_at_hand{};  // read by the signal handler

extern "C" void name_input(int signal) {
  constexpr char kText[] = "\nfuzz_replay: died on ";
  (void)!::write(STDERR_FILENO, kText, sizeof kText - 1);
  (void)!::write(STDERR_FILENO, g_at_hand.data(), std::strlen(g_at_hand.data()));
  (void)!::write(STDERR_FILENO, "\n", 1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void give(const std::vector<std::uint8_t>& input, const std::string& name) {
  std::snprintf(g_at_hand.data(), g_at_hand.size(), "%s", name.c_str());
  // A copy of exactly this size, so that AddressSanitizer sees a read past its end.
  const std::vector<std::uint8_t> exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

std::uint64_t next(std::uint64_t& state) {  // SplitMix64
  state += 0x9e3779b97f4a7c15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

void give_with_variants(const std::vector<std::uint8_t>& input, const std::string& name) {
  give(input, name);
  if (input.empty()) return;
  std::uint64_t state = input.size();
  for (int i = 0; i < kVariantsPerFile; ++i) {
    auto variant = input;
    const auto at = static_cast<std::size_t>(next(state) % input.size());
    if (i % 4 == 0) {
      variant.resize(at);
      give(variant, name + " cut at " + std::to_string(at));
    } else {
      const auto bit = static_cast<unsigned>(next(state) % 8U);
      variant[at] = static_cast<std::uint8_t>(variant[at] ^ (1U << bit));
      give(variant, name + " byte " + std::to_string(at) + " bit " + std::to_string(bit));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGILL, SIGBUS}) std::signal(signal, name_input);
  std::set<std::filesystem::path> files;  // sorted: the same order everywhere
  for (int i = 1; i < argc; ++i) {
    const std::filesystem::path path = argv[i];
    if (std::filesystem::is_regular_file(path)) files.insert(path);
    if (!std::filesystem::is_directory(path)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.insert(entry.path());
    }
  }
  give({}, "the empty input");
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    give_with_variants({bytes.begin(), bytes.end()}, file.string());
  }
  std::printf("%zu corpus files, %d variants of each\n", files.size(), kVariantsPerFile);
  return 0;
}
