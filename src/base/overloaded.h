// base/overloaded.h - one lambda for each alternative of a variant.
//
//   std::visit(overloaded{[](int) {}, [](const std::string&) {}}, variant);
#pragma once

namespace qh {

template <class... Fs>
struct overloaded : Fs... {  // NOLINT(readability-identifier-naming): the name that everybody knows it by
  using Fs::operator()...;
};
// Clang 16 cannot deduce the arguments of an aggregate by itself.
template <class... Fs>
overloaded(Fs...) -> overloaded<Fs...>;

}  // namespace qh
