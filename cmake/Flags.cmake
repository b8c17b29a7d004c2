# Flags.cmake - how everything of ours is compiled and linked: language, warnings, sanitizers, linker, cache.
#
# qh_flags carries what our own targets add; the rest is set for the whole build, because a sanitizer or a
# hardening macro that only some objects are compiled with would make them disagree on what the library's types do.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

# NDEBUG is defined in no build type: an assertion, ours or a library's, is there or not there by what the code says.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

if(QH_SANITIZE)
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -gline-tables-only")
  # vptr probes memory through a pipe, so it reports nonsense in the tests that let the descriptors run out.
  add_compile_options(-fsanitize=${QH_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${QH_SANITIZE})
elseif(QH_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
else()
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
  add_compile_options(-fstack-protector-strong)
  if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  endif()
endif()
if(QH_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Paths in messages, debug information and std::source_location start at the root of the repository.
if(NOT QH_COVERAGE)
  add_compile_options("-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
endif()

find_program(QH_LLD NAMES ld.lld)
if(QH_LLD)
  add_link_options(-fuse-ld=lld)
endif()
find_program(QH_CCACHE ccache)
if(QH_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${QH_CCACHE}")
endif()

add_library(qh_flags INTERFACE)
target_compile_options(qh_flags INTERFACE
  -Werror -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Wold-style-cast -Woverloaded-virtual -Wimplicit-fallthrough -Wformat=2 -Wundef
  -Wno-missing-field-initializers)  # a designated initialiser names what differs from the default
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(qh_flags INTERFACE
    -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wsuggest-override
    -Wno-attributes=clang::)  # [[clang::consumable]] and the like are for the other compiler
  # GCC at -O2 reports these inside std::string, std::variant, std::optional and tl::expected where nothing is wrong
  # (PR 105562, PR 80635: up to 14 at least; PR 105329: 12); Clang and the sanitizers watch the same ground.
  target_compile_options(qh_flags INTERFACE -Wno-maybe-uninitialized)
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(qh_flags INTERFACE -Wno-restrict)
  endif()
else()
  target_compile_options(qh_flags INTERFACE -Wconsumed -Wthread-safety -Wnull-dereference -Wextra-semi)
endif()
