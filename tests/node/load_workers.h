// tests/node/load_workers.h - clients that do a bit of everything that stores or ends a message, and keep the account.
//
// Threads  each function in one of its own; an Account is shared.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace qh::test {

using Instant = std::chrono::steady_clock::time_point;

/// What one validator's consumers and producers have been told.
struct Account {
  std::atomic<std::uint64_t> stored = 0, ended = 0, refused = 0;
};

/// Both until `end`; what they do comes from `seed`.
void work_over_http(std::uint16_t port, Account& account, std::uint64_t seed, Instant end);
/// Also sends many requests before it reads an answer, and gives up waits.
void work_over_binary(std::uint16_t port, Account& account, std::uint64_t seed, Instant end);
/// Until there has been none for 200 ms.
void take_all(std::uint16_t port, Account& account);

}  // namespace qh::test
