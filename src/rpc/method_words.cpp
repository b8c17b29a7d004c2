// The method table in words: for people who are refused, and for the documents.
#include <algorithm>

#include "rpc/method.h"
#include "rpc/validator_name.h"

namespace qh::rpc {
namespace {

std::string range(const Parameter& p) { return "from " + std::to_string(p.min) + " to " + std::to_string(p.max); }

}  // namespace

std::string_view word_at(const Parameter& parameter, std::size_t place) {
  auto rest = parameter.bounds;
  for (;; --place) {
    const auto end = std::min(rest.find('|'), rest.size());
    if (place == 0) return rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

std::vector<std::string_view> words_of(const Parameter& parameter) {
  std::vector<std::string_view> words;
  for (auto word = word_at(parameter, 0); !word.empty(); word = word_at(parameter, words.size())) words.push_back(word);
  return words;
}

std::string ways_text(const Method& method) {
  std::string text;
  for (const auto& way : method.ways) {
    text += (text.empty() ? "" : ", or ") + std::string(way.needs);
    if (!way.may.empty()) text += " (also with " + std::string(way.may) + ")";
  }
  return text;
}

std::string expectation(const Parameter& p) {
  switch (p.type) {
    case Type::kMessage:
      return "a message: {\"Kind\": {..}}";
    case Type::kSubmissions:
      return "an array of " + std::string(p.bounds) + " messages";
    case Type::kInteger:
      return "an integer " + (p.bounds.empty() ? range(p) : std::string(p.bounds));
    case Type::kNumber:
      return "0, or a number from 0.001 to " + std::to_string(p.max);
    case Type::kText:
      return "a string of " + (p.min == 0 ? "at most " : std::to_string(p.min) + " to ") + std::to_string(p.max) +
             " bytes";
    case Type::kName:
      return "the name of a validator: " + std::string(kValidatorNames);
    case Type::kFlag:
      return "true or false";
    case Type::kTrue:
      return "true";
    case Type::kWord: {
      std::string text;
      for (const auto word : words_of(p)) text += (text.empty() ? "\"" : " or \"") + std::string(word) + "\"";
      return text;
    }
    case Type::kKinds:
      return "an array of names of kinds, one at least";
    case Type::kIds:
      return "an array of at most " + std::to_string(p.max) + " integers";
    case Type::kCursor:
      return "a message_id, or {\"priority\", \"message_id\"}";
    case Type::kDeadCursor:
      return "{\"died_at_ms\", \"message_id\"}";
  }
  return {};
}

}  // namespace qh::rpc
