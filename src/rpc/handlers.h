// rpc/handlers.h - what the methods do. Private to rpc/; the table is in method_table.cpp.
#pragma once

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

boost::json::value metrics_json(const queue::Metrics& metrics);
boost::json::array kinds_json(queue::KindMask kinds);

}  // namespace qh::rpc
