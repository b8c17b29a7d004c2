// fuzz/configuration - any bytes, as a configuration file.
//
// Laws: a file is judged without an exception; what is refused is told with the file's name; and of what is taken,
// `config show` writes a file that means the same: read again, it shows the same values.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/invariant.h"
#include "node/config.h"

namespace {

using qh::node::Config, qh::node::make_config, qh::node::read_config_text, qh::node::show_config;

/// Without the origins, which are lines of the file.
std::string values_of(const Config& config) {
  std::string shown = show_config(config), out;
  for (std::size_t from = 0; from < shown.size();) {
    const auto end = std::min(shown.find('\n', from), shown.size());
    const auto line = std::string_view(shown).substr(from, end - from);
    out += std::string(line.substr(0, line.rfind("  # "))) + "\n";
    from = end + 1;
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > (1U << 17)) return 0;  // room for a key of very many parts
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto file = read_config_text(text, "a.toml");
  if (!file) {
    INVARIANT(!file.error().empty() && file.error().front().starts_with("a.toml:"), "a mistake says where it is");
    return 0;
  }
  const auto config = make_config({}, {}, *file);
  if (!config) {
    INVARIANT(!config.error().empty() && !config.error().front().empty(), "a refusal says why");
    return 0;
  }
  const auto again = read_config_text(show_config(*config), "b.toml");
  INVARIANT(again, "what is shown can be read");
  const auto same = make_config({}, {}, *again);
  INVARIANT(same, "and is taken");
  INVARIANT(values_of(*same) == values_of(*config), "and means the same");
  return 0;
}
