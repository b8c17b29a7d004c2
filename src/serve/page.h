// serve/page.h - the files of the page, compiled in from src/serve/page/. Private to serve/.
//
// Threads  constants.
#pragma once

#include <string_view>

namespace qh::serve {

struct PageFile {
  std::string_view path;  ///< as it is asked for
  std::string_view type;
  std::string_view text;
};

/// nullptr: there is none at this path.
const PageFile* find_page_file(std::string_view path);

}  // namespace qh::serve
