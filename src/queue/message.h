// queue/message.h - what can be put into a validator's queue.
//
// A message is a kind with a body. Each kind is one struct below; its name, priority, default
// durability and fields stand in its table `kFields` and nowhere else: the canonical codec here, the
// JSON codec (queue/message_json.h), the size limits and the documents are made from it.
//
// Format   canonical body: kind (u8), then the fields in table order: 32-byte hashes as they are,
//          u64 little-endian, strings and bytes with a u32 length, an optional value after a byte 0 or
//          1, fractions as IEEE 754 binary64. One value has one encoding; docs/formats/message.md.
// Errors   kInvalid with `subject` = Kind.field, or what is wrong as a whole. Integers are below 2^53, so that JSON
// carries them. Threads  values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>

#include "base/bytes.h"
#include "base/result.h"

namespace qh::queue {

enum class Kind : std::uint8_t { kBlockImport, kVote, kTransaction, kEntropyShare, kGossip, kTelemetry };
inline constexpr std::size_t kKindCount = 6;

enum class Priority : std::uint8_t { kLow = 25, kNormal = 50, kHigh = 75, kCritical = 100 };

/// kSync: on disk before the submit returns. kAsync: in memory, lost in a crash by contract.
enum class Durability : std::uint8_t { kSync, kAsync };

inline constexpr std::uint64_t kIntegerMax = (std::uint64_t{1} << 53) - 1;

using Hash32 = std::array<std::byte, 32>;

template <class Owner, class T>
struct Field {
  std::string_view name;
  T Owner::*member;
  std::string_view meaning;
  bool nullable = false;  ///< in JSON the field must be there, though it may be null
};

// Clang 16 cannot deduce the arguments of an aggregate by itself.
template <class Owner, class T>
Field(std::string_view, T Owner::*, std::string_view, bool) -> Field<Owner, T>;
template <class Owner, class T>
Field(std::string_view, T Owner::*, std::string_view) -> Field<Owner, T>;

struct BlockImport {
  Hash32 block_hash{};
  std::uint64_t block_number = 0;
  std::uint64_t timestamp = 0;  ///< Unix seconds
  friend bool operator==(const BlockImport&, const BlockImport&) = default;

  static constexpr std::string_view kName = "BlockImport";
  static constexpr Priority kPriority = Priority::kCritical;
  static constexpr Durability kDurability = Durability::kSync;
  static constexpr bool kOrdered = false;  ///< true: consensus orders it, so `max_tx_bytes` binds it
  static auto constexpr fields() {
    return std::tuple{Field{"block_hash", &BlockImport::block_hash, "hash of the block"},
                      Field{"block_number", &BlockImport::block_number, "its height"},
                      Field{"timestamp", &BlockImport::timestamp, "Unix seconds"}};
  }
};

struct Vote {
  std::string validator;
  Hash32 block_hash{};
  Bytes signature;
  std::optional<std::uint64_t> block_number;
  friend bool operator==(const Vote&, const Vote&) = default;

  static constexpr std::string_view kName = "Vote";
  static constexpr Priority kPriority = Priority::kCritical;
  static constexpr Durability kDurability = Durability::kSync;
  static constexpr bool kOrdered = false;
  static auto constexpr fields() {
    return std::tuple{Field{"validator", &Vote::validator, "who votes"},
                      Field{"block_hash", &Vote::block_hash, "for which block"},
                      Field{"signature", &Vote::signature, "over the vote"},
                      Field{"block_number", &Vote::block_number, "height of the block"}};
  }
};

struct Transaction {
  Hash32 tx_hash{};
  Bytes tx_data;
  std::optional<std::uint64_t> expires_at;  ///< Unix seconds
  friend bool operator==(const Transaction&, const Transaction&) = default;

  static constexpr std::string_view kName = "Transaction";
  static constexpr Priority kPriority = Priority::kHigh;
  static constexpr Durability kDurability = Durability::kSync;
  static constexpr bool kOrdered = true;
  static auto constexpr fields() {
    return std::tuple{Field{"tx_hash", &Transaction::tx_hash, "the client's hash of the transaction"},
                      Field{"tx_data", &Transaction::tx_data, "the transaction"},
                      Field{"expires_at", &Transaction::expires_at, "Unix seconds after which it is void"}};
  }
};

struct EntropyShare {
  std::string device_id;
  Bytes entropy;
  std::optional<double> qber;  ///< quantum bit error rate, 0..1; unknown is empty, never 0
  friend bool operator==(const EntropyShare&, const EntropyShare&) = default;

  static constexpr std::string_view kName = "EntropyShare";
  static constexpr Priority kPriority = Priority::kHigh;
  static constexpr Durability kDurability = Durability::kSync;
  static constexpr bool kOrdered = true;
  static auto constexpr fields() {
    return std::tuple{Field{"device_id", &EntropyShare::device_id, "the device"},
                      Field{"entropy", &EntropyShare::entropy, "random bytes"},
                      Field{"qber", &EntropyShare::qber, "quantum bit error rate 0..1, null if unknown", true}};
  }
};

struct Gossip {
  std::string topic;
  Bytes data;
  friend bool operator==(const Gossip&, const Gossip&) = default;

  static constexpr std::string_view kName = "Gossip";
  static constexpr Priority kPriority = Priority::kNormal;
  static constexpr Durability kDurability = Durability::kAsync;
  static constexpr bool kOrdered = false;
  static auto constexpr fields() {
    return std::tuple{Field{"topic", &Gossip::topic, "what it is about"}, Field{"data", &Gossip::data, "what is said"}};
  }
};

struct Telemetry {
  std::string source;
  Bytes data;
  friend bool operator==(const Telemetry&, const Telemetry&) = default;

  static constexpr std::string_view kName = "Telemetry";
  static constexpr Priority kPriority = Priority::kLow;
  static constexpr Durability kDurability = Durability::kAsync;
  static constexpr bool kOrdered = false;
  static auto constexpr fields() {
    return std::tuple{Field{"source", &Telemetry::source, "who measured"},
                      Field{"data", &Telemetry::data, "what was measured"}};
  }
};

/// In the order of Kind: the index of an alternative is its kind.
using Message = std::variant<BlockImport, Vote, Transaction, EntropyShare, Gossip, Telemetry>;
static_assert(std::variant_size_v<Message> == kKindCount);

struct KindInfo {
  Kind kind;
  std::string_view name;
  Priority priority;
  Durability durability;
  bool ordered;
};

/// All kinds, in the order of Kind.
std::span<const KindInfo> kinds();
inline const KindInfo& info(Kind kind) { return kinds()[static_cast<std::size_t>(kind)]; }
inline Kind kind_of(const Message& message) { return static_cast<Kind>(message.index()); }
std::optional<Kind> kind_named(std::string_view name);
std::string_view priority_name(Priority priority);
/// "BlockImport, Vote, ...": for error texts.
std::string kind_names();

/// A set of kinds.
class KindMask {
 public:
  constexpr KindMask() = default;
  constexpr explicit KindMask(std::uint8_t bits) : bits_(bits) {}
  static constexpr KindMask all() { return KindMask((1U << kKindCount) - 1); }
  static constexpr KindMask of(Kind kind) {
    return KindMask(static_cast<std::uint8_t>(1U << static_cast<unsigned>(kind)));
  }
  constexpr bool has(Kind kind) const { return (bits_ >> static_cast<unsigned>(kind)) & 1U; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr KindMask operator|(KindMask o) const { return KindMask(static_cast<std::uint8_t>(bits_ | o.bits_)); }
  constexpr KindMask operator&(KindMask o) const { return KindMask(static_cast<std::uint8_t>(bits_ & o.bits_)); }
  constexpr KindMask without(KindMask o) const { return KindMask(static_cast<std::uint8_t>(bits_ & ~o.bits_)); }
  constexpr std::uint8_t bits() const { return bits_; }
  friend constexpr bool operator==(KindMask, KindMask) = default;

 private:
  std::uint8_t bits_ = 0;
};

/// The canonical body. Fails where a value is not allowed: an integer of 2^53 or more, a fraction
/// outside 0..1, text that is not UTF-8.
Result<Bytes> encode(const Message& message);
/// Accepts canonical bodies only: decode(encode(m)) == m and encode(decode(b)) == b.
Result<Message> decode(ByteView body);
/// Says whether decode() would accept it, without building the message.
Result<Kind> check(ByteView body);
/// The kind that a canonical body says it has.
inline Result<Kind> kind_of_body(ByteView body) {
  if (body.empty() || std::to_integer<std::size_t>(body[0]) >= kKindCount) {
    return fail(Error(Errc::kInvalid, "message: a body of an unknown kind").about("message"));
  }
  return static_cast<Kind>(body[0]);
}

bool is_utf8(std::string_view text);

}  // namespace qh::queue
