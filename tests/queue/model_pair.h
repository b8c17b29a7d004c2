// tests/queue/model_pair.h - an engine and its model side by side: each call goes to both, and both must answer alike.
//
// Errors   RapidCheck's: a difference fails the property.
// Threads  one owner.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model_steps.h"
#include "queue_machine.h"
#include "queue_model.h"

namespace qh::queue {

struct PairOptions {
  std::uint32_t fairness = 0;
  std::uint32_t keys_max = 100;  ///< of five keys that there are
};

class Pair {
 public:
  explicit Pair(const PairOptions& options);

  /// One call to both, a millisecond, and a look at all that can be asked.
  void apply(const Step& s);

 private:
  static KindMask mask_of(std::uint32_t n) {
    return n % 3 == 0 ? KindMask(static_cast<std::uint8_t>(n / 3 % 63 + 1)) : KindMask::all();
  }

  struct Made {
    Submission submission;
    Model::Message message;
  };
  Made make(const Step& s);
  /// What a submit means to the model once the engine has given it an id.
  void expect_submitted(Made made, const Submitted& got, bool sync);
  void submit(const Step& s);
  void batch(const Step& s);

  // model_pair_leases.cpp
  void take(KindMask mask);
  void take_batch(KindMask mask, std::uint32_t max);
  void lease(const Step& s);
  /// Leases that were given at some time, valid or not, one of them perhaps twice.
  std::vector<std::uint64_t> some_leases(const Step& s) const;
  void ack(const std::vector<std::uint64_t>& leases);
  void nack(const std::vector<std::uint64_t>& leases, const Step& s);
  void extend(const std::vector<std::uint64_t>& leases, const Step& s);
  void hold(const std::vector<std::uint64_t>& leases);
  template <class Change>
  void expect_outcome(const Result<LeaseOutcome>& got, const std::vector<std::uint64_t>& leases, Change change);

  // model_pair_manage.cpp
  std::uint64_t some_id(std::uint32_t n) const;
  Model::Message* message(std::uint64_t id);
  void remove(std::uint64_t id);
  void purge(KindMask mask, std::int64_t older_ms);
  void pause(KindMask mask);
  void revive(Model::Message& m);
  void retry(std::uint64_t id);
  void retry_all();
  void purge_dead(std::uint64_t id, std::int64_t older_ms);

  // model_pair_deaths.cpp
  template <class T>
  using Asked = std::shared_ptr<std::optional<Result<T>>>;
  /// What was asked about a message that dies, and is not answered yet.
  struct Asking {
    std::uint64_t id = 0;
    Asked<LeaseOutcome> nack;
    Asked<std::uint64_t> undo;
    std::optional<std::uint64_t> undone;  ///< what it must answer; empty: that there is no such dead letter
    Asked<Submitted> repeat;
  };
  void death(const Step& s);
  /// Leases one message again and again; its next delivery that fails is its death. Its id, 0: there is none.
  std::uint64_t lease_to_the_last();
  void give_back(Asking& asking, const std::string& error);
  bool lapse(std::uint64_t id);  ///< true: the log has written its death already
  void undo(Asking& asking, std::uint32_t how);
  void repeat(Asking& asking, const std::string& key);
  void expect_answers(const Asking& asking) const;
  void flush();

  void wait(std::int64_t ms);
  void stop(std::int64_t off_ms = 0);
  /// All that was written is on disk.
  void kill();
  void crash(std::int64_t off_ms = 0);
  void be_off(std::int64_t ms);
  void off(const Step& s);
  void start();

  QueueMachine m_;
  Model model_;
  bool few_keys_;
  std::uint64_t last_id_ = 0, last_lease_ = 0;
  std::vector<std::uint64_t> leases_;
};

}  // namespace qh::queue
