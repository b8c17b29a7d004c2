// serve/access.h - who may speak to a port, before a word of the request is believed.
//
// A web page that a person visits can send requests to their loopback. It cannot hide its Origin, nor, if it
// had its own name resolved to 127.0.0.1 (DNS rebinding), the Host; so these two are judged first.
//
// Errors   load(): kInvalid with the line; kIo. Tokens are compared in constant time.
// Threads  values; const use from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/hash.h"
#include "rpc/caller.h"

namespace qh::serve {

/// The file of --rpc-token-file. A line each: name, SHA-256 of the token in hex, roles with commas between:
///   wallet  9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  read,submit
/// Empty lines and lines that begin with # are passed over. A name stands once, and so does a token.
class TokenTable {
 public:
  static constexpr std::uint64_t kTokenFileBytesMax = 4U << 20;

  static Result<TokenTable> load(const std::filesystem::path& file);
  static Result<TokenTable> parse(std::string_view text);

  std::optional<rpc::Caller> find(std::string_view token) const;
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    rpc::Caller caller;
    crypto::Digest32 digest;
    std::size_t line = 0;  ///< from 1
  };
  std::string why_taken(const Entry& entry) const;

  std::vector<Entry> entries_;
};

struct AccessRules {
  std::vector<std::string> allowed_origins;  ///< "https://wallet.example", as browsers send it
  std::vector<std::string> allowed_hosts;    ///< names or addresses, without a port
  /// Pages of this port, under a Host that is allowed, are the node's own: their Origin is too. 0: there are none.
  std::uint16_t own_web_port = 0;
  bool require_token = false;  ///< also on loopback
  TokenTable tokens;
};

bool origin_allowed(const AccessRules& rules, std::string_view origin);
/// `host` as in the header field, with or without a port.
bool host_allowed(const AccessRules& rules, std::string_view host);

/// Who it is: the token's owner; on loopback without one the validator itself with every role. Nobody: 401.
/// `authorization` is the header field's value.
std::optional<rpc::Caller> identify(const AccessRules& rules, std::optional<std::string_view> authorization,
                                    bool from_loopback, std::string_view validator);

}  // namespace qh::serve
