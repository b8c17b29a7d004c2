// rpc/node_control.h - what the node_* methods ask of the node around the validator, and what faults can be injected.
//
// Threads  values; ask() is called, and answers, on the validator's thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_function.h"

namespace qh::rpc {

struct ValidatorStatus {
  std::string name;
  std::uint16_t port = 0;
  std::uint16_t binary_port = 0;  ///< 0: none
  std::string state;              ///< starting, running, stopping, stopped, failed or restarting
  std::uint64_t restarts = 0;     ///< after an error, since the start of the process
  std::string error;              ///< why it does not run, or did not stop well; empty: nothing is wrong
};

struct NodeRequest {
  enum class What : std::uint8_t { kList, kAdd, kStop, kStart };
  What what = What::kList;
  std::string name = {};   ///< of kAdd, kStop, kStart
  std::uint16_t port = 0;  ///< of kAdd; 0: the next free one
};

/// kList answers every validator, the others the one that they are about. A change is answered when it has begun:
/// its end shows in a later list.
using NodeAnswer = Result<std::vector<ValidatorStatus>>;

class NodeControl {
 public:
  virtual ~NodeControl() = default;
  /// kNotFound, kInvalid (a name or port that is none), kBusy (in a state that does not allow it).
  virtual void ask(NodeRequest request, UniqueFunction<void(NodeAnswer)> done) = 0;
};

/// What a test does to a validator, in runs that allow it.
struct Fault {
  enum class Kind : std::uint8_t { kError, kStall };
  Kind kind = Kind::kError;
  Duration duration{};  ///< of kStall
};

}  // namespace qh::rpc
