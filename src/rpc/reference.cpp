// docs/json-rpc.md, made from the tables.
#include "rpc/codes.h"
#include "rpc/dispatcher.h"
#include "rpc/method.h"

namespace qh::rpc {
namespace {

constexpr std::string_view kIntroduction = R"(# JSON-RPC of a validator

Made from the method table (`src/rpc/method_table.cpp`) and from the answers of a node: `./dev docs` writes it anew. Tests
compare it with the table, send every call below to a new node in the order of this page, and compare the answers.

JSON-RPC 2.0 over HTTP: `POST /` on the validator's port (alice 9944, bob 9945, charlie 9946). No Content-Type is asked for.

```bash
curl http://localhost:9944 -X POST -d '{"jsonrpc":"2.0","method":"qssh_getValidatorName","params":[],"id":1}'
```

- Parameters go by name (an object) or in the order of the tables below (an array); `null` leaves one out. An unknown
  name is refused. `params` itself is an object, an array, or not there. The id comes back as it was written.
- A body is one call or a batch of at most 1,000. The calls of a batch are started in their order, none waits for the one
  before, and the answers come together, in that order. Without an id there is no answer; a body of such calls alone
  gets HTTP 204. The answers to a batch come to about 64 MiB: a call behind that is not carried
  out and gets TooLarge; send it in another request. A call that still waits counts with the largest it may be handed.
- Integers are below 2^53. Bytes are read as an array of 0..255, as `"0x…"` hex or as `{"base64":"…"}`, and written as
  `"0x…"`. A call that names a member twice, at any depth, is refused.
- JSON-RPC errors come with HTTP 200, but Unauthorized (401) and TooLarge for a body of over 8 MiB (413). A body is nested
  at most 32 deep.
- An answer may be as slow as its reader: a connection is closed when 64 KiB of it (or the rest) are not taken within 30 s.
  While all answers that are not read together come to over 256 MiB, who takes less than 64 KiB in a second is closed, too,
  the longest first; then who reads the slowest, but none in its first second. Before that the waits of batches end (Timeout)
  whose other answers, of over 64 KiB, are held meanwhile. A request that comes while there is no room waits for its
  turn, and is refused after 2 s, or when the node or the validator stops (HTTP 503). A take that waits so takes nothing
  for a client that goes meanwhile.
- Roles: read, submit, consume, validator, admin. A caller on loopback without a token has all of them, unless
  the node runs with `--require-token`; a token (`Authorization: Bearer …`) has those of its line in the token file.

A *queued message* is

```json
{"message":{"Gossip":{"topic":"test","data":"0x010203"}},"message_id":1,"created_at":1698509120,"submitted_by":"alice",
 "persisted":false,"broadcast":false,"created_at_ms":1698509120123,"priority":"Normal","deliveries":0,"digest":"0x…"}
```

where `submitted_by` is the validator's name for a caller on loopback without a token and else the token's name,
`persisted` says that it survives a crash, and `digest` is the SHA3-256 of the canonical body.

A client that disconnects while it waits (`wait_ms`) has its wait cancelled: nothing is taken. What was handed out before
the connection was cut stays handed out: a popped message is gone, a lease runs until its deadline. A client that closes
its sending side alone gets its answers, those of its waits with Timeout. Requests that it had sent behind the one under
way are carried out, but qssh_popMessage, qssh_popBatch and qssh_lease among them: it may have gone, so they get Timeout too.
Over 64 KiB that are sent behind a call that waits end its wait (Timeout), since the client's end could not be seen behind
them. Such a Timeout has `outcome`: nothing was taken.

`rpc.discover` gives all of this as an OpenRPC document, with a JSON Schema of every parameter and every result.
)";

constexpr std::string_view kErrorExamples = R"md(
The calls below go to a new node each. `tokens` has the line that this writes, for a caller who may read:

```sh
printf 'reader %s read\n' "$(printf example | sha256sum | cut -d ' ' -f 1)" > tokens && chmod 600 tokens
```
)md";

void add_message_kinds(std::string& out) {
  out += "\n## Messages\n\n| kind | priority | durability unless said otherwise |\n|---|---|---|\n";
  for (const auto& kind : queue::kinds()) {
    out += "| `" + std::string(kind.name) + "` | " + std::string(queue::priority_name(kind.priority)) + " | " +
           (kind.durability == queue::Durability::kSync ? "sync" : "async") + " |\n";
  }
}

void add_example(std::string_view headers, std::string_view body, std::string& out) {
  out += "\n```bash\ncurl http://localhost:9944 " + std::string(headers) + "-d '" + std::string(body) + "'\n```\n";
}

void add_method(const Method& method, std::string& out) {
  out += "\n### " + std::string(method.name) + "\n\n" + std::string(method.summary) +
         " Role: " + std::string(role_name(method.role)) + ".\n\n";
  if (!method.parameters.empty()) {
    out += "| parameter | | what it is | must be |\n|---|---|---|---|\n";
    for (const auto& p : method.parameters) {
      out += "| `" + std::string(p.name) + "` | " + (p.required ? "required" : "") + " | " + std::string(p.meaning) +
             " | " + expectation(p) + " |\n";
    }
    out += '\n';
  }
  if (!method.ways.empty()) out += "What to choose: " + ways_text(method) + ". Nothing is chosen by default.\n\n";
  out += "Result: " + std::string(method.result) + ".\n";
  if (!method.note.empty()) out += "\n" + std::string(method.note) + "\n";
  add_example("",
              R"({"jsonrpc":"2.0","method":")" + std::string(method.name) + R"(","params":)" +
                  std::string(method.example_params) + R"(,"id":1})",
              out);
}

void add_errors(std::string& out) {
  out += "\n## Errors\n\n| code | `data.reason` | when | more in `data` |\n|---|---|---|---|\n";
  for (const auto& code : codes()) {
    out += "| " + std::to_string(static_cast<int>(code.code)) + " | `" + std::string(code.reason) + "` | " +
           std::string(code.meaning) + " | " + std::string(code.data) + " |\n";
  }
  out += kErrorExamples;
  for (const auto& code : codes()) {
    if (code.example.empty()) continue;
    out += "\n`" + std::string(code.reason) + "`";
    if (!code.flags.empty()) out += ", with `" + std::string(code.flags) + "`";
    out += ":\n";
    add_example(code.headers, code.example, out);
  }
}

}  // namespace

std::string reference_markdown() {
  std::string out(kIntroduction);
  add_message_kinds(out);
  out += "\n## Methods\n";
  for (const auto& method : methods()) add_method(method, out);
  add_errors(out);
  return out;
}

}  // namespace qh::rpc
