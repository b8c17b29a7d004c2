#include "queue/message.h"

#include <cmath>
#include <utility>

#include "base/codec.h"

namespace qh::queue {
namespace {

template <class T>
constexpr KindInfo info_of(std::size_t index) {
  return {static_cast<Kind>(index), T::kName, T::kPriority, T::kDurability, T::kOrdered};
}

template <std::size_t... I>
constexpr auto make_table(std::index_sequence<I...>) {
  return std::array{info_of<std::variant_alternative_t<I, Message>>(I)...};
}
constexpr auto kTable = make_table(std::make_index_sequence<kKindCount>{});

/// Told as Kind.field, as in JSON.
tl::unexpected<Error> bad_field(std::string_view kind, std::string_view field, std::string_view why) {
  const auto path = std::string(kind) + "." + std::string(field);
  return fail(Error(Errc::kInvalid, path + ": " + std::string(why)).about(path));
}

/// Writes one field; answers why it may not be written, or nothing.
struct FieldEncoder {
  Bytes& out;

  const char* operator()(const Hash32& value) {
    ByteWriter(out).put_raw(value);
    return nullptr;
  }
  const char* operator()(std::uint64_t value) {
    if (value > kIntegerMax) return "must be below 2^53";
    ByteWriter(out).put(value);
    return nullptr;
  }
  const char* operator()(double value) {
    if (!(value >= 0 && value <= 1)) return "must be a fraction from 0 to 1";
    ByteWriter(out).put_f64(value == 0 ? 0.0 : value);
    return nullptr;
  }
  const char* operator()(const std::string& value) {
    if (!is_utf8(value)) return "must be UTF-8 text";
    return sized(as_bytes(value));
  }
  const char* operator()(const Bytes& value) { return sized(value); }
  template <class T>
  const char* operator()(const std::optional<T>& value) {
    out.push_back(static_cast<std::byte>(value.has_value()));
    return value ? (*this)(*value) : nullptr;
  }

 private:
  const char* sized(ByteView bytes) {
    if (bytes.size() > UINT32_MAX) return "is over 4 GiB";
    ByteWriter(out).put_sized<std::uint32_t>(bytes);
    return nullptr;
  }
};

/// Reads one field; false for a value that has another encoding or none. With `Look` nothing is kept, so
/// that a check allocates nothing.
template <bool Look>
struct FieldDecoder {
  ByteReader& in;

  bool operator()(Hash32& value) {
    const auto raw = in.get_raw(value.size());
    if (in.ok()) std::memcpy(value.data(), raw.data(), value.size());
    return in.ok();
  }
  bool operator()(std::uint64_t& value) {
    value = in.get<std::uint64_t>();
    return in.ok() && value <= kIntegerMax;
  }
  bool operator()(double& value) {
    value = in.get_f64();
    return in.ok() && value >= 0 && value <= 1 && !std::signbit(value);
  }
  bool operator()(std::string& value) {
    const auto text = as_text(in.get_sized<std::uint32_t>());
    if constexpr (!Look) value = text;
    return in.ok() && is_utf8(text);
  }
  bool operator()(Bytes& value) {
    const auto raw = in.get_sized<std::uint32_t>();
    if constexpr (!Look) value.assign(raw.begin(), raw.end());
    return in.ok();
  }
  template <class T>
  bool operator()(std::optional<T>& value) {
    const auto present = in.get<std::uint8_t>();
    if (!in.ok() || present > 1) return false;
    return present == 0 || (*this)(value.emplace());
  }
};

/// Bytes of one encoded field.
std::size_t field_bytes(const Hash32& value) { return value.size(); }
std::size_t field_bytes(std::uint64_t) { return sizeof(std::uint64_t); }
std::size_t field_bytes(double) { return sizeof(double); }
std::size_t field_bytes(const std::string& value) { return sizeof(std::uint32_t) + value.size(); }
std::size_t field_bytes(const Bytes& value) { return sizeof(std::uint32_t) + value.size(); }
template <class T>
std::size_t field_bytes(const std::optional<T>& value) {
  return 1 + (value ? field_bytes(*value) : 0);
}

template <class T>
Result<Bytes> encode_struct(Kind kind, const T& message) {
  Bytes out;
  out.reserve(std::apply([&](const auto&... f) { return (1 + ... + field_bytes(message.*(f.member))); }, T::fields()));
  out.push_back(static_cast<std::byte>(kind));
  FieldEncoder encoder{out};
  std::string_view field;
  const char* why = nullptr;
  const auto one = [&](const auto& f) {
    field = f.name;
    return (why = encoder(message.*(f.member))) == nullptr;
  };
  const bool good = std::apply([&](const auto&... f) { return (one(f) && ...); }, T::fields());
  if (!good) return bad_field(T::kName, field, why);
  return out;
}

template <class T, bool Look>
Result<T> read_struct(ByteReader& in) {
  T message;
  FieldDecoder<Look> decoder{in};
  std::string_view field;
  const auto one = [&](const auto& f) {
    field = f.name;
    return decoder(message.*(f.member));
  };
  const bool good = std::apply([&](const auto&... f) { return (one(f) && ...); }, T::fields());
  if (!good) return bad_field(T::kName, field, "not a canonical value");
  if (!in.at_end())
    return fail(Error(Errc::kInvalid, std::string(T::kName) + ": bytes behind the last field").about(T::kName));
  return message;
}

template <class T>
Result<Message> decode_struct(ByteReader& in) {
  auto message = read_struct<T, false>(in);
  if (!message) return fail(std::move(message.error()));
  return Message(std::move(*message));
}

template <class T>
Result<void> check_struct(ByteReader& in) {
  auto message = read_struct<T, true>(in);
  if (!message) return fail(std::move(message.error()));
  return {};
}

template <std::size_t... I>
Result<Message> decode_kind(Kind kind, ByteReader& in, std::index_sequence<I...>) {
  using Decode = Result<Message> (*)(ByteReader&);
  constexpr Decode kDecoders[] = {&decode_struct<std::variant_alternative_t<I, Message>>...};
  return kDecoders[static_cast<std::size_t>(kind)](in);
}

template <std::size_t... I>
Result<void> check_kind(Kind kind, ByteReader& in, std::index_sequence<I...>) {
  using Check = Result<void> (*)(ByteReader&);
  constexpr Check kChecks[] = {&check_struct<std::variant_alternative_t<I, Message>>...};
  return kChecks[static_cast<std::size_t>(kind)](in);
}

}  // namespace

std::span<const KindInfo> kinds() { return kTable; }

std::optional<Kind> kind_named(std::string_view name) {
  for (const auto& kind : kTable) {
    if (kind.name == name) return kind.kind;
  }
  return std::nullopt;
}

std::string_view priority_name(Priority priority) {
  switch (priority) {
    case Priority::kLow:
      return "Low";
    case Priority::kNormal:
      return "Normal";
    case Priority::kHigh:
      return "High";
    case Priority::kCritical:
      return "Critical";
  }
  return "Unknown";
}

std::string kind_names() {
  std::string names;
  for (const auto& kind : kTable) {
    if (!names.empty()) names += ", ";
    names += kind.name;
  }
  return names;
}

Result<Bytes> encode(const Message& message) {
  return std::visit([&](const auto& m) { return encode_struct(kind_of(message), m); }, message);
}

Result<Message> decode(ByteView body) {
  const auto kind = kind_of_body(body);
  if (!kind) return fail(kind.error());
  ByteReader in(body.subspan(1));
  return decode_kind(*kind, in, std::make_index_sequence<kKindCount>{});
}

Result<Kind> check(ByteView body) {
  const auto kind = kind_of_body(body);
  if (!kind) return fail(kind.error());
  ByteReader in(body.subspan(1));
  auto checked = check_kind(*kind, in, std::make_index_sequence<kKindCount>{});
  if (!checked) return fail(std::move(checked.error()));
  return *kind;
}

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned lead = byte(i);
    if (lead < 0x80) {
      i += 1;
    } else if (lead >= 0xc2 && lead <= 0xdf) {
      if (!continues(i + 1)) return false;
      i += 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      if (!continues(i + 1) || !continues(i + 2)) return false;
      if ((lead == 0xe0 && byte(i + 1) < 0xa0) || (lead == 0xed && byte(i + 1) > 0x9f)) return false;
      i += 3;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      if (!continues(i + 1) || !continues(i + 2) || !continues(i + 3)) return false;
      if ((lead == 0xf0 && byte(i + 1) < 0x90) || (lead == 0xf4 && byte(i + 1) > 0x8f)) return false;
      i += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace qh::queue
