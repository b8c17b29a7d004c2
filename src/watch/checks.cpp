#include "watch/checks.h"

#include <algorithm>
#include <charconv>

namespace qh::watch {
namespace {

struct Wanted {
  bool verbose = false;
  std::vector<std::string> excluded;
};

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const auto* const digits = text.data() + i + 1;
    if (text[i] == '%' && text.size() - i > 2 && std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

Wanted read_query(std::string_view query) {
  Wanted wanted;
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const auto pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const auto equals = std::min(pair.find('='), pair.size());
    const auto name = pair.substr(0, equals);
    const auto value = pair.substr(std::min(equals + 1, pair.size()));
    if (name == "verbose") wanted.verbose = value != "false" && value != "0";
    if (name == "exclude") wanted.excluded.push_back(percent_decoded(value));
  }
  return wanted;
}

}  // namespace

CheckPage judge(std::string_view page, std::span<const Check> checks, std::string_view query) {
  const auto wanted = read_query(query);
  CheckPage out;
  std::string lines;
  const auto is = [](const std::string& name) { return [&name](const Check& check) { return check.name == name; }; };
  for (const auto& check : checks) {
    if (std::find(wanted.excluded.begin(), wanted.excluded.end(), check.name) != wanted.excluded.end()) {
      lines += "[+]" + check.name + " excluded: ok\n";
      continue;
    }
    out.passed = out.passed && check.passed;
    lines += check.passed ? "[+]" + check.name + " ok" : "[-]" + check.name + " failed";
    lines += check.why.empty() ? "\n" : ": " + check.why + "\n";
  }
  for (const auto& name : wanted.excluded) {
    if (std::none_of(checks.begin(), checks.end(), is(name)))
      lines += "warn: there is no check named " + name + " to exclude\n";
  }
  if (!wanted.verbose && out.passed) {
    out.text = "ok\n";
    return out;
  }
  out.text = lines + std::string(page) + " check " + (out.passed ? "passed" : "failed") + "\n";
  return out;
}

}  // namespace qh::watch
