# Room.cmake - what the CMakeLists.txt of a room, an app, a test or a fuzz folder is written with.
#
#   qh_room(NAME queue DIR src/queue DEPS base crypto LIBS qh_dep::xxhash PUBLIC qh_dep::expected)
#       A static library qh::queue of all .cpp below DIR but *_test.cpp and *_bench.cpp. DEPS are rooms, public; LIBS
#       are private up to a PUBLIC. Its *_test.cpp become queue_test (see qh_test), its *_bench.cpp bench_queue.
#       TEST_DEPS, TEST_LIBS, TEST_LABELS, TEST_TIMEOUT: more for queue_test.
#   qh_test(NAME x SOURCES ... [DEPS rooms] [LIBS ...] [LABELS threads soak] [TIMEOUT s] [PROGRAMS apps])
#       GoogleTest with rapidcheck; every case is a ctest of its own, `x.Suite.Case`, run in the repository's root with
#       QH_BIN_DIR set. A case or suite with Threads in its name has the label `threads` (./dev test --sanitize runs
#       those under TSan). LABELS soak: one ctest that runs in ./dev soak only. PROGRAMS are built before it runs.
#   qh_soak(NAME y TEST x FILTER "Suite.*" ENVIRONMENT QH_SEEDS=9 ... MINUTES n)
#       soak.y: the test program x in ./dev soak, told by its environment to do more. MINUTES is what it takes alone;
#       the longest ones start first, and one that takes five times as long is stopped.
#   qh_bench(NAME x SOURCES ... [DEPS] [LIBS])     bin/bench_x, off the default target: ./dev bench x
#   qh_fuzz(NAME x SOURCES ... [DEPS] [LIBS])      bin/fuzz_x in the fuzz preset, elsewhere the test fuzz_replay.x over
#                                                  fuzz/corpus/x
#   qh_program(NAME x SOURCES ... [DEPS] [LIBS])   bin/x
#   qh_compile_fail(NAME x SOURCE f.cpp EXPECT "regex" [DEPS] [CLANG])
#   qh_compile_pass(NAME x SOURCE f.cpp [DEPS] [CLANG])
#       Tests that f.cpp does not compile and says why (a Python regex), or that it does: the control beside it. CLANG:
#       by Clang with -Wconsumed -Werror, otherwise by GCC. GCC's presets have them.
#   qh::version   "qh/version.h" with kVersion

set(QH_INCLUDE_ROOTS "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}")

# Room names as targets: base or qh::base, either way.
function(qh_rooms out)
  list(TRANSFORM ARGN REPLACE "^qh::" "")
  list(TRANSFORM ARGN PREPEND "qh::")
  set(${out} "${ARGN}" PARENT_SCOPE)
endfunction()

# What every target that compiles our code gets.
function(_qh_ours target)
  target_link_libraries(${target} PRIVATE qh_flags)
  target_include_directories(${target} PRIVATE ${QH_INCLUDE_ROOTS})
endfunction()

function(_qh_executable target name)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "SOURCES;DEPS;LIBS")
  qh_rooms(rooms ${arg_DEPS})
  add_executable(${target} ${arg_SOURCES})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME "${name}")
  _qh_ours(${target})
  target_link_libraries(${target} PRIVATE ${rooms} ${arg_LIBS})
endfunction()

function(qh_room)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;DIR;TEST_TIMEOUT" "DEPS;LIBS;TEST_DEPS;TEST_LIBS;TEST_LABELS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "qh_room(${arg_NAME}): unknown ${arg_UNPARSED_ARGUMENTS}")
  endif()
  set(dir "${CMAKE_SOURCE_DIR}/${arg_DIR}")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${dir}/*.cpp")
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS "${dir}/*.h")
  set(tests ${sources})
  set(benches ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench)\\.cpp$")
  qh_rooms(rooms ${arg_DEPS})

  if(NOT arg_TEST_TIMEOUT)
    set(arg_TEST_TIMEOUT 120)
  endif()

  set(room qh_${arg_NAME})
  if(sources)
    add_library(${room} STATIC ${sources})
    _qh_ours(${room})
    target_include_directories(${room} PUBLIC ${QH_INCLUDE_ROOTS})
    target_link_libraries(${room} PUBLIC ${rooms} PRIVATE ${arg_LIBS})
  else()
    add_library(${room} INTERFACE)
    target_include_directories(${room} INTERFACE ${QH_INCLUDE_ROOTS})
    set(libs ${arg_LIBS})
    list(REMOVE_ITEM libs PUBLIC PRIVATE)
    target_link_libraries(${room} INTERFACE ${rooms} ${libs})
  endif()
  add_library(qh::${arg_NAME} ALIAS ${room})

  # Tests and header checks of a room see the libraries that its sources see.
  set(libs ${arg_LIBS})
  list(REMOVE_ITEM libs PUBLIC PRIVATE)
  if(tests)
    _qh_gtest(${arg_NAME}_test NAME ${arg_NAME} SOURCES ${tests} DEPS ${arg_NAME} ${arg_TEST_DEPS}
      LIBS ${libs} ${arg_TEST_LIBS} LABELS ${arg_TEST_LABELS} TIMEOUT ${arg_TEST_TIMEOUT})
  endif()
  if(benches)
    qh_bench(NAME ${arg_NAME} SOURCES ${benches} DEPS ${arg_NAME} ${arg_TEST_DEPS} LIBS ${libs})
  endif()
  if(headers)
    _qh_header_check(${arg_NAME} DEPS ${arg_NAME} ${arg_TEST_DEPS} LIBS ${libs} HEADERS ${headers})
  endif()
endfunction()

# Each header compiles with nothing before it, and may be included twice. Part of ./dev lint.
function(_qh_header_check name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPS;LIBS;HEADERS")
  set(sources "")
  foreach(header IN LISTS arg_HEADERS)
    file(RELATIVE_PATH path "${CMAKE_SOURCE_DIR}" "${header}")
    string(REGEX REPLACE "^src/" "" include "${path}")
    set(source "${CMAKE_BINARY_DIR}/header_check/${include}.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT "#include \"${include}\"\n#include \"${include}\"\n")
    list(APPEND sources "${source}")
  endforeach()
  qh_rooms(rooms ${arg_DEPS})
  add_library(header_check_${name} OBJECT EXCLUDE_FROM_ALL ${sources})
  target_link_libraries(header_check_${name} PRIVATE qh_flags ${rooms} ${arg_LIBS})
  target_include_directories(header_check_${name} PRIVATE ${QH_INCLUDE_ROOTS})
  if(QH_TESTS)
    target_link_libraries(header_check_${name} PRIVATE GTest::gtest rapidcheck)  # test doubles are headers too
  endif()
  add_dependencies(header_check header_check_${name})
endfunction()

# What ThreadSanitizer has to build: the tests that may have a case with the label `threads`.
function(_qh_note_threads target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LABELS")
  if(QH_SANITIZE MATCHES "thread")  # a name that is new there is seen by the next build
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${arg_SOURCES})
  endif()
  foreach(source IN LISTS arg_SOURCES)
    file(STRINGS "${source}" names REGEX "Threads")
    if(names OR "threads" IN_LIST arg_LABELS)
      add_dependencies(tests_with_threads ${target})
      break()
    endif()
  endforeach()
endfunction()

function(_qh_gtest target)
  if(NOT QH_TESTS)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "NAME;TIMEOUT" "SOURCES;DEPS;LIBS;LABELS;PROGRAMS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "test ${arg_NAME}: unknown ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  _qh_executable(${target} ${target} SOURCES ${arg_SOURCES} DEPS ${arg_DEPS}
    LIBS ${arg_LIBS} GTest::gtest_main rapidcheck rapidcheck_gtest)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  if(arg_PROGRAMS)
    add_dependencies(${target} ${arg_PROGRAMS})
  endif()
  set(environment "QH_BIN_DIR=${CMAKE_BINARY_DIR}/bin")

  if("soak" IN_LIST arg_LABELS)
    add_test(NAME ${arg_NAME} CONFIGURATIONS soak COMMAND ${target} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
    set_tests_properties(${arg_NAME} PROPERTIES
      TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}" ENVIRONMENT "${environment}")
    return()
  endif()

  _qh_note_threads(${target} SOURCES ${arg_SOURCES} LABELS ${arg_LABELS})

  set(common TEST_PREFIX "${arg_NAME}." WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60)
  set(properties TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${environment}")
  # gtest_discover_tests cannot pass a list on, so several labels are one with commas; presets look for them so.
  list(JOIN arg_LABELS "," labels)
  if("threads" IN_LIST arg_LABELS)
    gtest_discover_tests(${target} ${common} PROPERTIES ${properties} LABELS "${labels}")
  else()
    if(NOT labels)
      set(labels unit)
    endif()
    gtest_discover_tests(${target} ${common} TEST_FILTER "-*Threads*" TEST_LIST ${target}_quiet
      PROPERTIES ${properties} LABELS "${labels}")
    gtest_discover_tests(${target} ${common} TEST_FILTER "*Threads*" TEST_LIST ${target}_threads
      PROPERTIES ${properties} LABELS "${labels},threads")
  endif()
endfunction()

function(qh_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "")
  _qh_gtest(test_${arg_NAME} NAME ${arg_NAME} ${arg_UNPARSED_ARGUMENTS})
endfunction()

function(qh_soak)
  if(NOT QH_TESTS)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;TEST;FILTER;MINUTES" "ENVIRONMENT")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_ENVIRONMENT OR NOT arg_FILTER OR NOT arg_MINUTES)
    message(FATAL_ERROR "qh_soak(${arg_NAME}): needs NAME, TEST, FILTER, ENVIRONMENT and MINUTES and nothing else")
  endif()
  math(EXPR timeout "${arg_MINUTES} * 5 * 60")
  add_test(NAME soak.${arg_NAME} CONFIGURATIONS soak COMMAND test_${arg_TEST} "--gtest_filter=${arg_FILTER}"
    WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  # A filter that fits nothing would pass.
  set_tests_properties(soak.${arg_NAME} PROPERTIES TIMEOUT ${timeout} COST ${arg_MINUTES} LABELS soak
    ENVIRONMENT "QH_BIN_DIR=${CMAKE_BINARY_DIR}/bin;${arg_ENVIRONMENT}"
    FAIL_REGULAR_EXPRESSION "Running 0 tests")
endfunction()

function(qh_bench)
  if(NOT QH_TESTS)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "SOURCES;DEPS;LIBS")
  _qh_executable(bench_${arg_NAME} bench_${arg_NAME} SOURCES ${arg_SOURCES} DEPS ${arg_DEPS}
    LIBS ${arg_LIBS} benchmark::benchmark benchmark::benchmark_main)
  set_target_properties(bench_${arg_NAME} PROPERTIES EXCLUDE_FROM_ALL ON)
  add_dependencies(bench bench_${arg_NAME})
endfunction()

function(qh_fuzz)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "SOURCES;DEPS;LIBS")
  if(QH_FUZZ)
    _qh_executable(fuzz_${arg_NAME} fuzz_${arg_NAME} SOURCES ${arg_SOURCES} DEPS ${arg_DEPS} LIBS ${arg_LIBS})
    target_link_options(fuzz_${arg_NAME} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzz fuzz_${arg_NAME})
  elseif(QH_TESTS)
    set(target fuzz_replay_${arg_NAME})
    _qh_executable(${target} ${target} DEPS ${arg_DEPS} LIBS ${arg_LIBS}
      SOURCES ${arg_SOURCES} "${CMAKE_SOURCE_DIR}/cmake/impl/fuzz_replay.cpp")
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
    add_test(NAME fuzz_replay.${arg_NAME} COMMAND ${target} "${CMAKE_SOURCE_DIR}/fuzz/corpus/${arg_NAME}")
    set_tests_properties(fuzz_replay.${arg_NAME} PROPERTIES TIMEOUT 120 LABELS fuzz)
  endif()
endfunction()

function(qh_program)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "SOURCES;DEPS;LIBS")
  _qh_executable(${arg_NAME} ${arg_NAME} SOURCES ${arg_SOURCES} DEPS ${arg_DEPS} LIBS ${arg_LIBS})
endfunction()

function(_qh_compile_test verdict)
  if(NOT QH_TESTS OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    return()  # judged once, by the release preset; a sanitizer adds nothing
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "CLANG" "NAME;SOURCE;EXPECT" "DEPS")
  if(verdict STREQUAL "fail" AND NOT arg_EXPECT)
    message(FATAL_ERROR "qh_compile_fail(${arg_NAME}): EXPECT is missing; any error at all would pass")
  endif()
  if(arg_CLANG)
    find_program(QH_CLANGXX NAMES clang++-16 clang++-19 clang++-18 clang++-17)
    if(NOT QH_CLANGXX)
      message(FATAL_ERROR "compile_${verdict}.${arg_NAME} needs Clang: run ./dev deps, or install clang-16 (Debian 12) or clang-19 (Debian 13).")
    endif()
    set(compiler "${QH_CLANGXX}" -fno-color-diagnostics -Wconsumed -Werror)
  else()
    set(compiler "${CMAKE_CXX_COMPILER}" -fdiagnostics-color=never)
  endif()
  # An interface library only gathers the include directories and macros; it compiles nothing itself.
  set(target compile_${verdict}_${arg_NAME})
  qh_rooms(rooms ${arg_DEPS})
  add_library(${target} INTERFACE)
  target_link_libraries(${target} INTERFACE ${rooms})
  target_include_directories(${target} INTERFACE ${QH_INCLUDE_ROOTS})
  set(includes "$<TARGET_PROPERTY:${target},INTERFACE_INCLUDE_DIRECTORIES>")
  set(macros "$<TARGET_PROPERTY:${target},INTERFACE_COMPILE_DEFINITIONS>")
  get_filename_component(source "${arg_SOURCE}" ABSOLUTE)
  if(verdict STREQUAL "pass")
    set(arg_EXPECT "-")
  endif()
  set(name compile_${verdict}.${arg_NAME})
  add_test(NAME ${name} COMMAND_EXPAND_LISTS
    COMMAND python3 "${CMAKE_SOURCE_DIR}/cmake/expect_compile.py" ${verdict} "${arg_EXPECT}"
      ${compiler} -std=c++20 -fsyntax-only
      "$<$<BOOL:${macros}>:-D$<JOIN:${macros},;-D>>" "$<$<BOOL:${includes}>:-I$<JOIN:${includes},;-I>>" "${source}")
  set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS compile)
endfunction()

function(qh_compile_fail)
  _qh_compile_test(fail ${ARGN})
endfunction()

function(qh_compile_pass)
  _qh_compile_test(pass ${ARGN})
endfunction()

add_custom_target(bench COMMENT "Benchmarks are in bin/bench_*")
add_custom_target(header_check COMMENT "Every header compiles alone")
add_custom_target(tests_with_threads COMMENT "The tests that ThreadSanitizer runs")
add_custom_target(fuzz COMMENT "Fuzz targets are in bin/fuzz_*")
if(QH_TESTS)
  include(GoogleTest)
endif()

configure_file("${CMAKE_CURRENT_LIST_DIR}/version.h.in" "${CMAKE_BINARY_DIR}/generated/qh/version.h" @ONLY)
add_library(qh_version INTERFACE)
target_include_directories(qh_version INTERFACE "${CMAKE_BINARY_DIR}/generated")
add_library(qh::version ALIAS qh_version)
