# Run at an installation: the unit names the program where this one puts it. cpack installs into a directory of its own;
# a package is for QH_PACKAGE_PREFIX, wherever it was made.
if(CMAKE_INSTALL_PREFIX MATCHES "/_CPack_Packages/")
  set(QH_BINDIR "${QH_PACKAGE_PREFIX}/bin")
else()
  get_filename_component(QH_BINDIR "${CMAKE_INSTALL_PREFIX}/bin" ABSOLUTE)
endif()
configure_file("${QH_UNIT_SOURCE}" "${QH_UNIT}" @ONLY)
