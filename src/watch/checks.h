// watch/checks.h - a list of checks, and the page that /livez, /readyz and /startupz answer with.
//
// The form is that of Kubernetes' API server: 200 or 503 is the verdict, `?verbose` lists the checks, `?exclude=NAME`
// (again and again) leaves one out.
//
// Threads  values.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qh::watch {

struct Check {
  std::string name;
  bool passed = true;
  std::string why = {};  ///< what is wrong, and what to do; shown in verbose pages and in failed ones
};

struct CheckPage {
  bool passed = true;
  std::string text;
};

/// `query` is what follows the ? of the request; percent-encoded names are understood.
CheckPage judge(std::string_view page, std::span<const Check> checks, std::string_view query);

}  // namespace qh::watch
