// rpc/method.h - the one table of methods: names, parameters, roles, documents.
//
// Binding of parameters, refusals of unknown ones, docs/json-rpc.md and rpc.discover are made from it, so a
// method that is not here does not exist, and what is here is documented.
//
// Threads  constants.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "queue/message.h"
#include "rpc/caller.h"

namespace qh::rpc {

class Call;
struct Services;

enum class Type : std::uint8_t {
  kMessage,      ///< {"Kind": {..}}
  kSubmissions,  ///< an array of 1..max messages, or of the named parameters of qssh_submitMessage
  kInteger,      ///< min..max
  kNumber,       ///< 0, or kNumberMin..max; fractions allowed
  kText,         ///< min..max bytes of UTF-8
  kName,         ///< of a validator
  kFlag,         ///< true or false
  kTrue,         ///< true; who does not mean it leaves it out
  kWord,         ///< one of `bounds`, which has | between them
  kKinds,        ///< an array of names of kinds
  kIds,          ///< an array of at most max integers
  kCursor,       ///< a message_id, or {"priority", "message_id"}
  kDeadCursor,   ///< {"died_at_ms", "message_id"}
};

inline constexpr double kNumberMin = 0.001;

struct Parameter {
  std::string_view name;
  Type type;
  bool required = false;
  std::string_view meaning = {};
  std::uint64_t min = 0;
  std::uint64_t max = queue::kIntegerMax;
  std::string_view bounds = {};  ///< told instead of min and max where settings decide; the words of kWord
};

/// One way to give what a method of several ways needs: `needs`, and `may` beside it.
struct Way {
  std::string_view needs;
  std::string_view may = {};
};

/// How params are laid out.
enum class Shape : std::uint8_t {
  kPlain,    ///< by name, or in the order of the table
  kMessage,  ///< also: the message itself; or [message, {the other parameters by name}]
};

/// What a method needs of the program around the validator. Without it the method is not there.
enum class Needs : std::uint8_t { kNothing, kNode, kFaults };

struct Method {
  std::string_view name;
  std::uint16_t number = 0;  ///< in the binary codec; never used for another one
  std::string_view summary;
  Shape shape = Shape::kPlain;
  std::span<const Parameter> parameters = {};
  std::span<const Way> ways = {};  ///< empty: every parameter for itself; else nothing is chosen by default
  std::string_view result = {};    ///< in words
  std::string_view returns = {};   ///< as a note of rpc/schemas.h
  Role role = Role::kRead;
  std::string_view example_params = {};  ///< JSON; run in the order of the table on a new node, each shows something
  std::string_view note = {};            ///< what else one should know; may be empty
  void (*run)(Call& call) = nullptr;
  /// For what is answered later and may be large: bytes that the answer may have. Asked before it is run.
  std::uint64_t (*answer_bytes)(const Call& call) = nullptr;
  Needs needs = Needs::kNothing;
  bool hands_out = false;  ///< takes messages for its caller, for good or for a while
  /// The binary codec has its parameters and its result without JSON too (rpc/binary_body.h).
  bool typed = false;
};

std::span<const Method> methods();
const Method* find_method(std::string_view name);
const Method* find_method(std::uint16_t number);
/// The one that somebody may have meant.
std::optional<std::string_view> nearest_method(std::string_view name);

/// Whether this program has the method.
bool is_there(const Method& method, const Services& services);
/// What a parameter must be, in words: "an integer from 1 to 1000".
std::string expectation(const Parameter& parameter);
/// The ways of a method that has some, in words: "message_id, or all (also with rate)".
std::string ways_text(const Method& method);
/// The words of a kWord.
std::vector<std::string_view> words_of(const Parameter& parameter);
/// One of them; empty when there are not so many.
std::string_view word_at(const Parameter& parameter, std::size_t place);

/// docs/json-rpc.md but for the answers: a test compares the file, and tests/docs/json_rpc.py writes and tries what the
/// node answers.
std::string reference_markdown();

}  // namespace qh::rpc
