// A validator that is added while the node runs: its ports.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "node/config.h"

namespace qh::node {
namespace {

/// Which port an added validator gets.
class PortChoice {
 public:
  PortChoice(const Config& config, const TakenPorts& taken) : taken_{0, config.metrics_port, config.web_port} {
    taken_.insert(taken.rpc.begin(), taken.rpc.end());
    taken_.insert(taken.binary.begin(), taken.binary.end());
  }

  bool is_free(std::uint64_t port) const { return !taken_.contains(port); }
  void take(std::uint64_t port) { taken_.insert(port); }
  /// The first free one behind all of `ports`, or between them, or below; 0: there is none.
  std::uint16_t next_to(const std::vector<std::uint16_t>& ports, std::uint64_t otherwise) const {
    const auto [least, most] = std::minmax_element(ports.begin(), ports.end());
    const std::uint64_t low = ports.empty() ? otherwise : *least, high = ports.empty() ? otherwise : *most + 1U;
    for (auto port = high; port <= 65'535; ++port) {
      if (is_free(port)) return static_cast<std::uint16_t>(port);
    }
    for (auto port = low; port <= 65'535; ++port) {
      if (is_free(port)) return static_cast<std::uint16_t>(port);
    }
    for (auto port = low; port >= kFirstUnprivileged; --port) {
      if (is_free(port)) return static_cast<std::uint16_t>(port);
    }
    return 0;
  }

 private:
  static constexpr std::uint64_t kFirstUnprivileged = 1024;
  std::set<std::uint64_t> taken_;
};

}  // namespace

Result<ValidatorOptions> added_validator(const Config& config, const TakenPorts& taken, const std::string& name,
                                         std::uint16_t port) {
  if (!is_validator_name(name)) {
    return fail(Error(Errc::kInvalid, "name: " + std::string(kValidatorNames)).about("name"));
  }
  PortChoice ports(config, taken);
  if (port != 0 && !ports.is_free(port))
    return fail(Error(Errc::kInvalid, "port: expected one that nothing of this node has").about("port"));
  if (port == 0) port = ports.next_to(taken.rpc, kFirstPort + config.settings.port_offset);
  ports.take(port);
  ValidatorOptions options;
  if (config.settings.binary_port != 0)
    options.binary_port = ports.next_to(taken.binary, config.settings.binary_port + config.settings.port_offset);
  if (port == 0 || (config.settings.binary_port != 0 && options.binary_port == 0)) {
    const std::string whose = port == 0 ? "" : " for its binary RPC";
    return fail(
        Error(Errc::kInvalid, "port: none is left" + whose + ": this node has all from 1024 to 65535").about("port"));
  }
  options.name = name;
  options.port = port;
  options.directory = config.data_dir / name;
  options.write_method = config.settings.write_method;
  options.queue = config.settings.queue;
  options.allow_faults = config.settings.allow_faults;
  return options;
}

}  // namespace qh::node
