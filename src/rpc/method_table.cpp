#include <algorithm>
#include <array>

#include "base/nearest.h"
#include "rpc/dispatcher.h"
#include "rpc/handlers.h"

namespace qh::rpc {
namespace {

/// Where milliseconds still fit into nanoseconds.
constexpr std::uint64_t kMsMax = 9'000'000'000'000;
constexpr std::uint64_t kDayMs = 86'400'000;
constexpr std::uint64_t kListMax = 1'000;
/// What queue::Options allows at the most.
constexpr std::uint64_t kBatchMessagesMax = 65'535;
/// queue::Options has the defaults.
constexpr std::string_view kLeaseBounds = "within the queue's lease-min and lease-max: from 100 to 3600000 by default";
constexpr std::string_view kBatchBounds = "1 to the queue's max-batch-messages (1000 by default)";

constexpr Parameter kKindsTaken{"kinds", Type::kKinds, false, "only these kinds; all without it"};
constexpr Parameter kWait{"wait_ms", Type::kInteger, false, "how long to wait for a message; 0 without it",
                          0,         kWaitMsMax};
constexpr Parameter kLeases{"leases", Type::kIds, true, "as given by qssh_lease", 0, kListMax};
constexpr Parameter kMessageId{"message_id", Type::kInteger, true, "as given by the submit", 1};
constexpr Parameter kOneMessageId{"message_id", Type::kInteger, false, "only this one", 1};
constexpr Parameter kAll{"all", Type::kTrue, false, "every one"};
constexpr Parameter kKindsTidied{"kinds", Type::kKinds, false, "only these kinds"};

constexpr std::array kSubmit{
    Parameter{"message", Type::kMessage, true, "the message"},
    Parameter{"durability", Type::kWord, false,
              "sync: answered when it is on disk; async: in memory. The kind's own without it", 0, 0, "sync|async"},
    Parameter{
        "idempotency_key", Type::kText, false,
        "a second submit with this key stores nothing and answers the first one's id, whoever sends it and whatever "
        "its message is",
        1, 128},
    Parameter{"not_before_ms", Type::kInteger, false, "Unix ms; not handed out earlier", 0, kMsMax},
    Parameter{"expires_at_ms", Type::kInteger, false, "Unix ms; to the dead letters from then on", 1, kMsMax},
    Parameter{"wait", Type::kWord, false, "until when the caller waits; queued without it", 0, 0, "queued"},
    Parameter{"timeout_ms", Type::kInteger, false,
              "how long the caller waits for durability; the outcome is unknown after that", 1, kWaitMsMax},
};
constexpr std::array kSubmitBatch{
    Parameter{"messages", Type::kSubmissions, true, "each a message, or the named parameters of qssh_submitMessage", 1,
              kBatchMessagesMax, kBatchBounds},
    Parameter{"durability", Type::kWord, false, "for those that do not say it themselves", 0, 0, "sync|async"},
};
constexpr std::array kPop{kKindsTaken, kWait};
constexpr std::array kPopBatch{
    Parameter{"max", Type::kInteger, true, "at most so many", 1, kListMax},
    kKindsTaken,
    kWait,
};
constexpr std::array kLease{
    Parameter{"max", Type::kInteger, false, "at most so many; 1 without it", 1, kListMax},
    Parameter{"duration_ms", Type::kInteger, false, "until it goes back; the queue's lease-default (30000) without it",
              1, kMsMax, kLeaseBounds},
    kKindsTaken,
    kWait,
};
constexpr std::array kAck{kLeases};
constexpr std::array kNack{
    kLeases,
    Parameter{"delay_ms", Type::kInteger, false,
              "how long it stays away; without it a time that doubles with each delivery", 0, 30 * kDayMs},
    Parameter{"error", Type::kText, false, "why; kept with a dead letter", 0, 1024},
};
constexpr std::array kExtend{kLeases,
                             Parameter{"duration_ms", Type::kInteger, true, "from now on", 1, kMsMax, kLeaseBounds}};
constexpr std::array kPeek{
    Parameter{"count", Type::kInteger, false, "at most so many; 10 without it", 1, kListMax},
    kKindsTaken,
    Parameter{"after", Type::kCursor, false, "the last one seen"},
};
constexpr std::array kFind{kMessageId};
constexpr std::array kRemove{kMessageId};
constexpr std::array kPurge{
    kKindsTidied,
    Parameter{"older_than_ms", Type::kInteger, false, "only what was submitted so long ago", 0, kMsMax},
    kAll,
};
constexpr std::array kPurgeWays{Way{"kinds", "older_than_ms"}, Way{"older_than_ms", "kinds"}, Way{"all"}};
constexpr std::array kDepth{Parameter{"by_kind", Type::kFlag, false, "true: the parts, of every kind"}};
constexpr std::array kListDead{
    Parameter{"after", Type::kDeadCursor, false, "`next` of the list before"},
    Parameter{"limit", Type::kInteger, false, "at most so many; 100 without it", 1, kListMax},
};
constexpr std::array kRetryDead{
    kOneMessageId,
    kAll,
    Parameter{"rate", Type::kNumber, false, "messages a second; 0 or nothing: at once", 0, 1'000'000},
};
constexpr std::array kRetryDeadWays{Way{"message_id"}, Way{"all", "rate"}};
constexpr std::array kPurgeDead{
    kOneMessageId,
    kAll,
    Parameter{"older_than_ms", Type::kInteger, false, "only what died so long ago", 0, kMsMax},
};
constexpr std::array kPurgeDeadWays{Way{"message_id"}, Way{"older_than_ms"}, Way{"all"}};
constexpr std::array kPause{kKindsTidied};
constexpr Parameter kValidator{"name", Type::kName, true, "the validator"};
constexpr std::array kAddValidator{
    kValidator, Parameter{"port", Type::kInteger, false, "its port; the next free one without it", 1, 65'535}};
constexpr std::array kOneValidator{kValidator};
constexpr std::array kInject{
    Parameter{"fault", Type::kWord, true, "error: its loop ends; stall: its loop stands still", 0, 0, "error|stall"},
    Parameter{"duration_ms", Type::kInteger, false, "of a stall; 1000 without it", 1, kWaitMsMax},
};

constexpr std::string_view kStatus = "`{name, port, binary_port, state, restarts, error}`";

constexpr std::string_view kOutcome = "`{done, lost}`: how many leases were held, and which were not";

constexpr std::array kMethods{
    Method{.name = "qssh_submitMessage",
           .number = 1,
           .summary = "Puts a message into the queue.",
           .shape = Shape::kMessage,
           .parameters = kSubmit,
           .result = "`{message_id, priority, persisted, duplicate}`",
           .returns = R"("Submitted")",
           .role = Role::kSubmit,
           .example_params = R"({"Gossip":{"topic":"test","data":[1,2,3]}})",
           .note =
               "`params` is the message itself, or an object with the parameters by name, or `[message]`, or "
               "`[message, {the others by name}]`. A timeout or a cut connection means that the outcome is unknown: "
               "repeat with the same `idempotency_key`.",
           .run = submit_message,
           .typed = true},
    Method{.name = "qssh_submitBatch",
           .number = 2,
           .summary = "Puts several messages into the queue: all or none, and a sync batch also across a crash.",
           .parameters = kSubmitBatch,
           .result = "`{message_ids}`, in the order of `messages`",
           .returns = R"("SubmittedBatch")",
           .role = Role::kSubmit,
           .example_params =
               R"({"messages":[{"Gossip":{"topic":"a","data":"0x01"}},{"Gossip":{"topic":"b","data":"0x02"}},)"
               R"({"Gossip":{"topic":"c","data":"0x03"}},{"Telemetry":{"source":"fan","data":{"base64":"BA=="}}},)"
               R"({"message":{"Gossip":{"topic":"too late","data":[]}},"expires_at_ms":1}],"durability":"sync"})",
           .note = "Every one is stored with the durability of the strongest.",
           .run = submit_batch,
           .typed = true},
    Method{.name = "qssh_popMessage",
           .number = 3,
           .summary = "Takes the message of the highest priority, for good.",
           .parameters = kPop,
           .result = "the queued message, or `null` when there is none",
           .returns = R"("QueuedMessage|null")",
           .role = Role::kConsume,
           .example_params = "[]",
           .note =
               "The hand-out is on disk before the answer is sent: at most once, crash or no crash. If the "
               "connection is cut while `wait_ms` runs, nothing is taken; if it is cut after the hand-out, the message "
               "is gone. Who cannot live with that uses qssh_lease.",
           .run = pop_message,
           .answer_bytes = pop_message_bytes,
           .hands_out = true,
           .typed = true},
    Method{
        .name = "qssh_lease",
        .number = 4,
        .summary = "Takes messages for a while: at least once.",
        .parameters = kLease,
        .result = "an array of `{lease, deadline_ms, …}` with the fields of a queued message; empty when there is none",
        .returns = R"(["LeasedMessage"])",
        .role = Role::kConsume,
        .example_params = R"({"max":3,"duration_ms":60000})",
        .note = "What is not acked by its deadline goes back with `deliveries` + 1, also when the connection was cut "
                "before the answer came; over `max-deliveries` it becomes a dead letter.",
        .run = lease,
        .answer_bytes = lease_bytes,
        .hands_out = true,
        .typed = true},
    Method{.name = "qssh_ack",
           .number = 5,
           .summary = "Ends leased messages for good; on disk before it answers.",
           .parameters = kAck,
           .result = kOutcome,
           .returns = R"("LeaseOutcome")",
           .role = Role::kConsume,
           .example_params = R"({"leases":[1,99]})",
           .run = ack,
           .typed = true},
    Method{.name = "qssh_nack",
           .number = 6,
           .summary = "Gives leased messages back.",
           .parameters = kNack,
           .result = kOutcome,
           .returns = R"("LeaseOutcome")",
           .role = Role::kConsume,
           .example_params = R"({"leases":[2],"delay_ms":60000,"error":"the database is away"})",
           .run = nack,
           .typed = true},
    Method{.name = "qssh_extend",
           .number = 7,
           .summary = "Gives leases a new deadline.",
           .parameters = kExtend,
           .result = kOutcome,
           .returns = R"("LeaseOutcome")",
           .role = Role::kConsume,
           .example_params = R"({"leases":[3],"duration_ms":120000})",
           .run = extend,
           .typed = true},
    Method{.name = "qssh_peek",
           .number = 8,
           .summary = "Shows messages in the order in which they would be handed out.",
           .parameters = kPeek,
           .result = "an array of queued messages",
           .returns = R"(["QueuedMessage"])",
           .role = Role::kRead,
           .example_params = R"({"count":5})",
           .note =
               "`after` is a `message_id` that is still in the queue, or `{\"priority\", \"message_id\"}`, which works "
               "also when it is gone. An answer ends early where the bodies in it come to `max-batch-bytes` (4 MiB "
               "without a "
               "setting), but has one message at least: only an empty one says that there are no more.",
           .run = peek},
    Method{.name = "qssh_find",
           .number = 9,
           .summary = "Tells what became of a message.",
           .parameters = kFind,
           .result = "`{state, …}` with the fields of the queued message while there is one; `state` is ready, delayed "
                     "(with `ready_at_ms`), leased (with `lease_until_ms`), dead or gone",
           .returns = R"("FoundMessage")",
           .role = Role::kRead,
           .example_params = R"({"message_id":3})",
           .run = find},
    Method{.name = "qssh_removeMessage",
           .number = 10,
           .summary = "Removes a message that nobody has leased.",
           .parameters = kRemove,
           .result = "`{removed}`: false when there is none; an error (Busy) while it is leased",
           .returns = R"({"removed":"boolean"})",
           .role = Role::kAdmin,
           .example_params = R"({"message_id":3})",
           .run = remove_message},
    Method{.name = "qssh_purge",
           .number = 11,
           .summary = "Removes ready and delayed messages.",
           .parameters = kPurge,
           .ways = kPurgeWays,
           .result = "`{purged}`",
           .returns = R"({"purged":"Count"})",
           .role = Role::kAdmin,
           .example_params = R"({"kinds":["Telemetry"]})",
           .run = purge},
    Method{
        .name = "qssh_getQueueDepth",
        .number = 12,
        .summary = "How many messages there are: ready, delayed and leased together.",
        .parameters = kDepth,
        .result = "a number; with `by_kind` `{total, by_kind: {Gossip: {ready, delayed, leased, total}, …}}`",
        .returns = R"({"=":{"anyOf":[{"$ref":"#/components/schemas/Count"},{"$ref":"#/components/schemas/Depth"}]}})",
        .role = Role::kRead,
        .example_params = R"({"by_kind":true})",
        .run = get_queue_depth},
    Method{.name = "qssh_getMetrics",
           .number = 13,
           .summary = "The figures of the queue.",
           .parameters = {},
           .result =
               "`queue_depth`, `msg_rate` (messages/s of the last 5 s), `latency` (ms, mean of the sync submits of the "
               "last 10 s), `health` (0–100), `total_processed`, `uptime` (s), `last_message_time` (RFC 3339 or null), "
               "and the parts",
           .returns = R"("Metrics")",
           .role = Role::kRead,
           .example_params = "[]",
           .run = get_metrics},
    Method{.name = "qssh_getValidatorName",
           .number = 14,
           .summary = "The name of the validator behind this port.",
           .parameters = {},
           .result = "a string",
           .returns = R"("string")",
           .role = Role::kRead,
           .example_params = "[]",
           .run = get_validator_name},
    Method{
        .name = "qssh_listDeadLetters",
        .number = 15,
        .summary = "Messages that were delivered too often or expired, the oldest death first.",
        .parameters = kListDead,
        .result =
            "`{items, next}`: queued messages with `reason`, `died_at_ms`, `last_error`; `next` is the `after` of the "
            "following list, null at the end. A list ends early where the bodies in it come to `max-batch-bytes`, but "
            "has one "
            "item at least",
        .returns = R"({"items":["DeadLetter"],"next":"DeadPosition|null"})",
        .role = Role::kRead,
        .example_params = R"({"limit":10})",
        .run = list_dead_letters},
    Method{.name = "qssh_retryDeadLetter",
           .number = 16,
           .summary = "Puts dead letters back with no deliveries counted.",
           .parameters = kRetryDead,
           .ways = kRetryDeadWays,
           .result = "`{retried}`",
           .returns = R"({"retried":"Count"})",
           .role = Role::kAdmin,
           .example_params = R"({"all":true,"rate":10})",
           .run = retry_dead_letter},
    Method{.name = "qssh_purgeDeadLetters",
           .number = 17,
           .summary = "Removes dead letters.",
           .parameters = kPurgeDead,
           .ways = kPurgeDeadWays,
           .result = "`{purged}`",
           .returns = R"({"purged":"Count"})",
           .role = Role::kAdmin,
           .example_params = R"({"older_than_ms":86400000})",
           .run = purge_dead_letters},
    Method{.name = "qssh_pause",
           .number = 18,
           .summary = "Stops the hand-out of kinds, also after a restart; submits go on.",
           .parameters = kPause,
           .result = "`{paused}`: the names of all kinds that are paused now",
           .returns = R"({"paused":["Kind"]})",
           .role = Role::kAdmin,
           .example_params = R"({"kinds":["Telemetry"]})",
           .run = pause},
    Method{.name = "qssh_resume",
           .number = 19,
           .summary = "Ends a pause.",
           .parameters = kPause,
           .result = "`{paused}`: the names of all kinds that are still paused",
           .returns = R"({"paused":["Kind"]})",
           .role = Role::kAdmin,
           .example_params = "[]",
           .run = resume},
    Method{.name = "node_listValidators",
           .number = 20,
           .summary = "The validators of this node.",
           .result = "an array of `{name, port, binary_port, state, restarts, error}`; a state is starting, running, "
                     "restarting, "
                     "failed, stopping or stopped",
           .returns = R"(["ValidatorStatus"])",
           .role = Role::kAdmin,
           .example_params = "[]",
           .run = list_validators,
           .needs = Needs::kNode},
    Method{.name = "node_addValidator",
           .number = 21,
           .summary = "Adds a validator to this node and starts it.",
           .parameters = kAddValidator,
           .result = kStatus,
           .returns = R"("ValidatorStatus")",
           .role = Role::kAdmin,
           .example_params = R"({"name":"dave"})",
           .note = "For as long as the node runs: the next start has those of its configuration. Its data stay, and an "
                   "added validator of the same name finds them again.",
           .run = add_validator,
           .needs = Needs::kNode},
    Method{.name = "node_stopValidator",
           .number = 22,
           .summary = "Stops a validator as a signal would stop the node: nothing in its queue is lost.",
           .parameters = kOneValidator,
           .result = kStatus,
           .returns = R"("ValidatorStatus")",
           .role = Role::kAdmin,
           .example_params = R"({"name":"dave"})",
           .note =
               "Answered when the stop has begun; its end shows in node_listValidators. The last validator that runs "
               "is not stopped (Busy): no port would be left to start one again. One that was added and has failed "
               "is forgotten.",
           .run = stop_validator,
           .needs = Needs::kNode},
    Method{.name = "node_startValidator",
           .number = 23,
           .summary = "Starts a validator that was stopped, or has failed.",
           .parameters = kOneValidator,
           .result = kStatus,
           .returns = R"("ValidatorStatus")",
           .role = Role::kAdmin,
           .example_params = R"({"name":"dave"})",
           .run = start_validator,
           .needs = Needs::kNode},
    Method{.name = "node_injectFault",
           .number = 24,
           .summary = "Breaks the validator that is asked, for tests. Only with `--allow-faults`.",
           .parameters = kInject,
           .result = "`{injected}`; what follows comes behind the answer",
           .returns = R"({"injected":"string"})",
           .role = Role::kAdmin,
           .example_params = R"({"fault":"stall","duration_ms":100})",
           .run = inject_fault,
           .needs = Needs::kFaults},
    Method{
        .name = "rpc.discover",
        .number = 25,
        .summary = "This table, as an OpenRPC document.",
        .result = "an OpenRPC 1.3 document; beside each method stand `x-role`, `x-example` and `x-params`, the schema "
                  "of all its "
                  "parameters as one object; `x-max-bytes` bounds a text in bytes of UTF-8",
        .returns =
            R"({"openrpc":"string","info":{"title":"string","version":"string","description":"string"},"methods":[{"=":{"type":"object"}}],"components":{"schemas":{"=":{"type":"object"}},"errors":{"=":{"type":"object"}}}})",
        .role = Role::kRead,
        .example_params = "[]",
        .run = discover},
    Method{.name = "qssh_popBatch",
           .number = 26,
           .summary = "Takes several messages, those of the highest priority, for good.",
           .parameters = kPopBatch,
           .result = "an array of queued messages; empty when there is none",
           .returns = R"(["QueuedMessage"])",
           .role = Role::kConsume,
           .example_params = R"({"max":3})",
           .note =
               "As qssh_popMessage, with one write for all of them. It waits only while there is none, and ends early "
               "where the messages come to the bytes of a batch.",
           .run = pop_batch,
           .answer_bytes = pop_batch_bytes,
           .hands_out = true,
           .typed = true},
};

}  // namespace

std::span<const Method> methods() { return kMethods; }

const Method* find_method(std::string_view name) {
  const auto found = std::find_if(kMethods.begin(), kMethods.end(), [&](const Method& m) { return m.name == name; });
  return found == kMethods.end() ? nullptr : &*found;
}

const Method* find_method(std::uint16_t number) {
  // The numbers count up in the order of the table; a test holds that.
  return number >= 1 && number <= kMethods.size() ? &kMethods[number - 1U] : nullptr;
}

std::optional<std::string_view> nearest_method(std::string_view name) {
  std::array<std::string_view, kMethods.size()> names;
  std::transform(kMethods.begin(), kMethods.end(), names.begin(), [](const Method& m) { return m.name; });
  return nearest(name, names);
}

}  // namespace qh::rpc
