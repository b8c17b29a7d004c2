# The compiler of the asan, tsan and fuzz presets: LLVM 16 where the release has it (Debian 12), else what it ships.
find_program(QH_CLANGXX NAMES clang++-16 clang++-19 clang++-18 clang++-17)
if(NOT QH_CLANGXX)
  message(FATAL_ERROR "This preset needs Clang 16 or newer: run ./dev deps, or install clang-16 (Debian 12) or clang-19 (Debian 13).")
endif()
set(CMAKE_CXX_COMPILER "${QH_CLANGXX}")
