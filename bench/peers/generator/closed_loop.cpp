// bench/peers/generator/closed_loop.cpp - a thread a client, or all clients on one epoll loop.
#include <latch>
#include <optional>
#include <thread>

#include "bench/peers/generator/client.h"
#include "bench/peers/generator/epoll.h"
#include "bench/peers/generator/load.h"

namespace qh::bench {
namespace {

using Clients = std::vector<std::unique_ptr<Client>>;

Result<Clients> connect_all(const Plan& plan) {
  Clients clients;
  for (unsigned i = 0; i < plan.clients; ++i) {
    auto conversation = make_conversation(plan.protocol, plan.batch);
    if (!conversation) return fail(Error(Errc::kInvalid, "no such protocol or batch: " + plan.protocol));
    auto client = Client::connect(plan.port, std::move(conversation));
    if (!client) return fail(client.error());
    clients.push_back(std::move(*client));
  }
  return clients;
}

/// What one thread has seen.
struct Part {
  std::vector<Sample> samples;
  std::optional<Error> error;
};

/// Until the tickets are out. A growing vector would stop a client for a copy.
Part one_client(Client& client, const Plan& plan, Tickets& tickets) {
  Part part;
  part.samples.reserve(std::size_t{2} << 17);
  for (auto begin = now_ns(); tickets.one_more(begin);) {
    auto sent = client.start(plan.work);
    if (!sent) return {std::move(part.samples), sent.error()};
    for (;;) {
      const auto state = client.receive(Client::Wait::kYes);
      if (!state) return {std::move(part.samples), state.error()};
      if (*state == Client::State::kDone) break;
    }
    const auto end = now_ns();
    part.samples.push_back({end, end - begin});
    begin = end;
  }
  return part;
}

Seen collect(std::vector<Part> parts, const Tickets& tickets) {
  Seen seen{{}, tickets.begin_ns(), tickets.end_ns()};
  for (const auto& part : parts) seen.samples.insert(seen.samples.end(), part.samples.begin(), part.samples.end());
  return seen;
}

/// All clients on the calling thread.
class EventLoop {
 public:
  EventLoop(const Plan& plan, Clients clients)
      : work_(plan.work), clients_(std::move(clients)), begun_ns_(clients_.size()), tickets_(plan) {
    seen_.samples.reserve(plan.messages_max / plan.batch);
  }

  Result<Seen> run() {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      if (auto added = epoll_.add(clients_[i]->fd(), i); !added) return fail(added.error());
      if (auto started = start(i, now_ns()); !started) return fail(started.error());
    }
    while (busy_ > 0) {
      const auto events = epoll_.wait(-1);
      if (!events) return fail(events.error());
      for (const auto& event : *events) {
        if (auto gone_on = on_readable(event.data.u64); !gone_on) return fail(gone_on.error());
      }
    }
    seen_.begin_ns = tickets_.begin_ns();
    seen_.end_ns = tickets_.end_ns();
    return std::move(seen_);
  }

 private:
  Result<void> start(std::size_t i, std::int64_t now) {
    if (!tickets_.one_more(now)) return {};
    begun_ns_[i] = now;
    ++busy_;
    return clients_[i]->start(work_);
  }

  Result<void> on_readable(std::size_t i) {
    const auto state = clients_[i]->receive(Client::Wait::kNo);
    if (!state) return fail(state.error());
    if (*state != Client::State::kDone) return {};
    const auto now = now_ns();
    seen_.samples.push_back({now, now - begun_ns_[i]});
    --busy_;
    return start(i, now);
  }

  Work work_;
  Clients clients_;
  std::vector<std::int64_t> begun_ns_;
  Tickets tickets_;
  Epoll epoll_;
  Seen seen_;
  std::size_t busy_ = 0;
};

}  // namespace

Result<Seen> blocking_clients(const Plan& plan) {
  auto clients = connect_all(plan);
  if (!clients) return fail(clients.error());
  std::vector<Part> parts(clients->size());
  std::optional<Tickets> tickets;
  std::latch ready(static_cast<std::ptrdiff_t>(clients->size()));
  std::latch go(1);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < clients->size(); ++i) {
    threads.emplace_back([&, i] {
      ready.count_down();
      go.wait();
      parts[i] = one_client(*(*clients)[i], plan, *tickets);
    });
  }
  ready.wait();
  tickets.emplace(plan);
  go.count_down();
  for (auto& thread : threads) thread.join();
  for (const auto& part : parts) {
    if (part.error) return fail(*part.error);
  }
  return collect(std::move(parts), *tickets);
}

Result<Seen> event_loop(const Plan& plan) {
  auto clients = connect_all(plan);
  if (!clients) return fail(clients.error());
  return EventLoop(plan, std::move(*clients)).run();
}

}  // namespace qh::bench
