# OpenSsl.cmake - OpenSSL 3.5 or newer as OpenSSL::Crypto and OpenSSL::SSL.
#
# The system's own where it is new enough (Debian 13); else the static one that scripts/openssl.sh has built into
# the cache outside the tree (docs/adr/0002-openssl-from-debian-source.md). Its symbols stay hidden in what links it:
# libpq brings the system's libcrypto into the same process, and neither may answer for the other.

set(QH_OPENSSL_ROOT "" CACHE PATH "Where a static OpenSSL 3.5 lies; empty: the system's, or the one ./dev deps built")
set(qh_openssl_root "${QH_OPENSSL_ROOT}")
if(NOT qh_openssl_root)
  execute_process(COMMAND "${CMAKE_SOURCE_DIR}/scripts/openssl.sh" where
    OUTPUT_VARIABLE qh_openssl_root OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE qh_openssl_status)
  if(NOT qh_openssl_status EQUAL 0)
    message(FATAL_ERROR "OpenSSL 3.5 or newer is neither installed nor built yet. Run: ./dev deps")
  endif()
endif()

if(qh_openssl_root STREQUAL "system")
  find_package(OpenSSL 3.5 REQUIRED)
  message(STATUS "OpenSSL ${OPENSSL_VERSION} of the system")
else()
  foreach(name crypto ssl)
    if(NOT EXISTS "${qh_openssl_root}/lib/lib${name}.a")
      message(FATAL_ERROR "No lib/lib${name}.a in ${qh_openssl_root}. Run: ./dev deps")
    endif()
  endforeach()
  # When the cache is emptied, the next build configures again and finds what was built since.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${qh_openssl_root}/lib/libcrypto.a")
  message(STATUS "OpenSSL in ${qh_openssl_root}, static")
  add_library(OpenSSL::Crypto STATIC IMPORTED GLOBAL)
  set_target_properties(OpenSSL::Crypto PROPERTIES
    IMPORTED_LOCATION "${qh_openssl_root}/lib/libcrypto.a"
    INTERFACE_INCLUDE_DIRECTORIES "${qh_openssl_root}/include"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS}"
    INTERFACE_LINK_OPTIONS "LINKER:--exclude-libs,libcrypto.a:libssl.a")
  add_library(OpenSSL::SSL STATIC IMPORTED GLOBAL)
  set_target_properties(OpenSSL::SSL PROPERTIES
    IMPORTED_LOCATION "${qh_openssl_root}/lib/libssl.a"
    INTERFACE_INCLUDE_DIRECTORIES "${qh_openssl_root}/include"
    INTERFACE_LINK_LIBRARIES OpenSSL::Crypto)
endif()
