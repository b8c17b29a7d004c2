// rpc/handlers.h - what the methods do. Private to rpc/; the table is in method_table.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "queue/metrics.h"
#include "rpc/call.h"

namespace qh::rpc {

// handlers_in.cpp
void submit_message(Call& call);
void submit_batch(Call& call);

// handlers_out.cpp
void pop_message(Call& call);
void pop_batch(Call& call);
void lease(Call& call);
void ack(Call& call);
void nack(Call& call);
void extend(Call& call);

// handlers_look.cpp
void peek(Call& call);
void find(Call& call);
void get_queue_depth(Call& call);
void get_metrics(Call& call);
void get_validator_name(Call& call);
void list_dead_letters(Call& call);

// handlers_tidy.cpp
void remove_message(Call& call);
void purge(Call& call);
void retry_dead_letter(Call& call);
void purge_dead_letters(Call& call);
void pause(Call& call);
void resume(Call& call);

// handlers_node.cpp
void list_validators(Call& call);
void add_validator(Call& call);
void stop_validator(Call& call);
void start_validator(Call& call);
void inject_fault(Call& call);

// discover.cpp
void discover(Call& call);

// What the answers to these may come to.
std::uint64_t pop_message_bytes(const Call& call);
std::uint64_t pop_batch_bytes(const Call& call);
std::uint64_t lease_bytes(const Call& call);

/// Of one answer: the bytes of bodies behind which no further message is put into it.
std::uint64_t answer_body_bytes(const Call& call);
/// Ready messages in the order of the hand-out, until `count` of them or `body_bytes` are reached.
std::vector<queue::QueuedMessage> peek_within(const queue::Engine& engine, std::size_t count, std::uint64_t body_bytes,
                                              queue::KindMask kinds,
                                              std::optional<std::pair<queue::Priority, queue::MessageId>> after = {});

boost::json::value metrics_json(const queue::Metrics& metrics);
boost::json::array kinds_json(queue::KindMask kinds);

}  // namespace qh::rpc
