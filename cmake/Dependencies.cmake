# Dependencies.cmake - every library that is not ours, under one name each: qh_dep::NAME.
#
# All are Debian packages (scripts/packages-*.txt; ./dev deps installs them), but OpenSSL on Debian 12 (OpenSsl.cmake).
# A room names what it links in qh_room(LIBS ...); nothing else in the tree calls find_package.

find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(tl-expected REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(zstd REQUIRED)
include(OpenSsl)

function(qh_dep name)
  add_library(qh_dep_${name} INTERFACE)
  target_link_libraries(qh_dep_${name} INTERFACE ${ARGN})
  add_library(qh_dep::${name} ALIAS qh_dep_${name})
endfunction()

qh_dep(threads Threads::Threads)
qh_dep(boost Boost::headers)  # header-only Boost: Intrusive, Unordered, ...; for Asio and Beast take the two below
qh_dep(boost_json Boost::json)
qh_dep(fmt fmt::fmt)
qh_dep(spdlog spdlog::spdlog)
qh_dep(expected tl::expected)
qh_dep(cli11 CLI11::CLI11)
qh_dep(toml tomlplusplus::tomlplusplus)
qh_dep(zstd zstd::libzstd_shared)
qh_dep(crypto OpenSSL::Crypto)
qh_dep(tls OpenSSL::SSL)

find_path(QH_XXHASH_INCLUDE xxhash.h REQUIRED)
find_library(QH_XXHASH_LIBRARY xxhash REQUIRED)
add_library(qh_xxhash UNKNOWN IMPORTED)
set_target_properties(qh_xxhash PROPERTIES
  IMPORTED_LOCATION "${QH_XXHASH_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${QH_XXHASH_INCLUDE}")
qh_dep(xxhash qh_xxhash)

# The node's allocator (ADR 8). Nothing calls it by name: its malloc() stands in front of the C library's. The sanitizers
# bring their own.
if(QH_SANITIZE)
  qh_dep(mimalloc)
else()
  find_package(mimalloc REQUIRED)
  qh_dep(mimalloc -Wl,--push-state,--no-as-needed mimalloc -Wl,--pop-state)
endif()

# Asio and Beast are compiled once each, here, and everyone sees the same macros: mixed ones would break the
# one-definition rule. Built only when a room links them.
add_library(qh_asio STATIC EXCLUDE_FROM_ALL "${CMAKE_CURRENT_LIST_DIR}/impl/asio.cpp")
target_compile_definitions(qh_asio PUBLIC BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED)
target_link_libraries(qh_asio PUBLIC Boost::headers Threads::Threads)
qh_dep(asio qh_asio)

add_library(qh_asio_tls STATIC EXCLUDE_FROM_ALL "${CMAKE_CURRENT_LIST_DIR}/impl/asio_tls.cpp")
target_link_libraries(qh_asio_tls PUBLIC qh_asio OpenSSL::SSL)
qh_dep(asio_tls qh_asio_tls)

add_library(qh_beast STATIC EXCLUDE_FROM_ALL "${CMAKE_CURRENT_LIST_DIR}/impl/beast.cpp")
target_compile_definitions(qh_beast PUBLIC BOOST_BEAST_SEPARATE_COMPILATION)
target_link_libraries(qh_beast PUBLIC qh_asio)
qh_dep(beast qh_beast)

if(QH_TESTS)
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
  find_package(benchmark REQUIRED)
  qh_dep(gtest GTest::gtest)
  qh_dep(gmock GTest::gmock)
  qh_dep(rapidcheck rapidcheck rapidcheck_gtest)
  qh_dep(benchmark benchmark::benchmark)
endif()
