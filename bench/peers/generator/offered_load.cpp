// bench/peers/generator/offered_load.cpp - requests at fixed times on one epoll loop. What waits because every
// connection is busy is timed from when it was due: a server that stands still must not be spared the load it was to
// have.
#include <algorithm>
#include <optional>

#include "bench/peers/generator/client.h"
#include "bench/peers/generator/epoll.h"
#include "bench/peers/generator/load.h"

namespace qh::bench {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kReconnectNs = kSecondNs / 10;

class OfferedLoad {
 public:
  explicit OfferedLoad(const Offer& offer)
      : offer_(offer), slots_(offer.plan.clients), interval_ns_(static_cast<std::int64_t>(1e9 / offer.rate)) {}

  Result<Offered> run() {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (auto connected = connect(i); !connected && !offer_.go_on) return fail(connected.error());
    }
    auto& seen = result_.seen;
    seen.begin_ns = now_ns();
    seen.end_ns = seen.begin_ns + static_cast<std::int64_t>((offer_.plan.warm_up_s + offer_.plan.seconds) * 1e9);
    const auto give_up_ns = seen.end_ns + static_cast<std::int64_t>(kGraceS * 1e9);
    for (auto now = now_ns(); now < seen.end_ns || (busy() && now < give_up_ns); now = now_ns()) {
      if (auto sent = send_due(now); !sent) return fail(sent.error());
      if (auto turned = turn(now); !turned) return fail(turned.error());
    }
    finish();
    return std::move(result_);
  }

 private:
  struct Slot {
    std::unique_ptr<Client> client;      ///< none: cut or refused
    std::optional<std::int64_t> due_ns;  ///< of the request that is under way
    std::int64_t connect_at_ns = 0;      ///< without a client: when to try again
  };

  bool busy() const {
    return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.due_ns.has_value(); });
  }
  std::int64_t next_due_ns() const {
    return result_.seen.begin_ns + static_cast<std::int64_t>(result_.due) * interval_ns_;
  }
  Slot* idle() {
    const auto found = std::find_if(slots_.begin(), slots_.end(),
                                    [](const Slot& slot) { return slot.client && !slot.due_ns.has_value(); });
    return found == slots_.end() ? nullptr : &*found;
  }

  Result<void> connect(std::size_t i) {
    auto conversation = make_conversation(offer_.plan.protocol, offer_.plan.batch);
    if (!conversation) return fail(Error(Errc::kInvalid, "no such protocol: " + offer_.plan.protocol));
    auto client = Client::connect(offer_.plan.port, std::move(conversation));
    if (!client) {
      slots_[i].connect_at_ns = now_ns() + kReconnectNs;
      return fail(client.error());
    }
    slots_[i].client = std::move(*client);
    return epoll_.add(slots_[i].client->fd(), i);
  }

  Result<void> send_due(std::int64_t now) {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      // A refusal was counted when the connection was cut; the next try has its time.
      if (!slots_[i].client && now >= slots_[i].connect_at_ns) static_cast<void>(connect(i));
    }
    while (next_due_ns() <= now && next_due_ns() < result_.seen.end_ns) {
      Slot* slot = idle();
      if (slot == nullptr) return {};
      slot->due_ns = next_due_ns();
      ++result_.due;
      if (auto sent = slot->client->start(offer_.plan.work); !sent) {
        if (auto cut = lose(*slot, sent.error()); !cut) return cut;
      }
    }
    return {};
  }

  /// Waits until something comes or the next request is due, and takes what has come.
  Result<void> turn(std::int64_t now) {
    // Without an idle connection only an answer helps; the bound is for connections that are to be made again.
    auto until = now + kReconnectNs;
    if (idle() != nullptr) until = std::min(until, next_due_ns());
    const auto events = epoll_.wait(std::max<std::int64_t>(0, until - now));
    if (!events) return fail(events.error());
    for (const auto& event : *events) {
      if (auto gone_on = on_readable(slots_[event.data.u64]); !gone_on) return gone_on;
    }
    return {};
  }

  Result<void> on_readable(Slot& slot) {
    const auto state = slot.client->receive(Client::Wait::kNo);
    if (!state) return lose(slot, state.error());
    if (*state != Client::State::kDone) return {};
    const auto end = now_ns();
    result_.seen.samples.push_back({end, end - *slot.due_ns});
    slot.due_ns.reset();
    return {};
  }

  Result<void> lose(Slot& slot, const Error& error) {
    if (!offer_.go_on) return fail(error);
    if (slot.due_ns) ++result_.lost;
    slot = Slot{nullptr, std::nullopt, now_ns() + kReconnectNs};
    return {};
  }

  void finish() {
    for (const auto& slot : slots_) result_.lost += slot.due_ns ? 1 : 0;
    const auto planned = static_cast<std::uint64_t>((result_.seen.end_ns - result_.seen.begin_ns) / interval_ns_);
    result_.not_sent = planned - std::min(planned, result_.due);
    result_.due = std::max(planned, result_.due);
    // The slow ones that were answered behind the end are what is looked for.
    for (const auto& sample : result_.seen.samples) {
      result_.seen.end_ns = std::max(result_.seen.end_ns, sample.end_ns);
    }
  }

  Offer offer_;
  std::vector<Slot> slots_;
  std::int64_t interval_ns_;
  Epoll epoll_;
  Offered result_;
};

}  // namespace

Result<Offered> offered_load(const Offer& offer) { return OfferedLoad(offer).run(); }

}  // namespace qh::bench
