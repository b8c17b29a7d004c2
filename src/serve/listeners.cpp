#include "serve/listeners.h"

#include <cerrno>
#include <system_error>
#include <utility>

#include <boost/asio/ip/v6_only.hpp>

#include "base/clock.h"
#include "node/log.h"
#include "node/port_holder.h"
#include "serve/descriptors.h"

namespace qh::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr Duration kAcceptRetryDelay = std::chrono::milliseconds(100);

}  // namespace

Result<void> Listeners::bind() {
  if (settings_.addresses.empty()) {
    if (auto v4 = bind_one("127.0.0.1"); !v4) return v4;
    auto v6 = bind_one("::1");
    // A machine without IPv6 has no ::1; everything else about it is an error as for any address.
    if (!v6 && (v6.error().os_errno == EADDRNOTAVAIL || v6.error().os_errno == EAFNOSUPPORT)) return {};
    return v6;
  }
  for (const auto& address : settings_.addresses) {
    if (auto bound = bind_one(address); !bound) return bound;
  }
  return {};
}

Result<void> Listeners::listen(Welcome welcome) {
  welcome_ = std::move(welcome);
  for (auto& listener : listeners_) {
    error_code error;
    listener.acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail(port_error(listener.name, error.value()));
    accept(listener);
  }
  return {};
}

void Listeners::close() {
  closed_ = true;
  error_code ignored;
  for (auto& listener : listeners_) listener.acceptor.close(ignored);
}

Error Listeners::port_error(const std::string& address, int os_errno) const {
  const bool v6 = address.find(':') != address.npos;
  const auto where = (v6 ? "[" + address + "]" : address) + ":" + std::to_string(settings_.port);
  Error error(Errc::kIo, settings_.name + ": cannot listen on " + where, os_errno);
  if (os_errno == EADDRINUSE) {
    const auto holder = node::port_holder(settings_.port);
    error = Error(Errc::kBusy, settings_.name + ": cannot listen on " + where + ": the port is in use" +
                                   (holder.empty() ? "" : " by " + holder) + ". " + settings_.port_flag_hint);
    error.subject = holder;
  } else if (os_errno == EACCES) {
    error.context += " (ports below 1024 need a privilege; " + settings_.port_flag_hint + ")";
  } else if (os_errno == EADDRNOTAVAIL) {
    error.context += " (this machine has no such address; `ip address` lists those that --listen may name)";
  } else if (const auto limit = node::remedy_for_limit(os_errno); !limit.empty()) {
    error = Error(error.code, error.to_string() + "; " + std::string(limit));
  }
  return error;
}

Result<void> Listeners::bind_one(const std::string& text) {
  error_code error;
  const auto address = asio::ip::make_address(text, error);
  if (error) return fail(Errc::kInvalid, "--listen " + text + ": no IP address");
  Listener listener{tcp::acceptor(loop_), asio::steady_timer(loop_), text};
  const tcp::endpoint endpoint(address, settings_.port);
  listener.acceptor.open(endpoint.protocol(), error);
  if (!error) listener.acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  // Each address has a socket of its own; :: must not take the IPv4 ones as well.
  if (!error && address.is_v6()) listener.acceptor.set_option(asio::ip::v6_only(true), error);
  if (!error) listener.acceptor.bind(endpoint, error);
  if (error) return fail(port_error(text, error.value()));
  if (settings_.port == 0) settings_.port = listener.acceptor.local_endpoint(error).port();
  listeners_.push_back(std::move(listener));
  return {};
}

void Listeners::accept(Listener& listener) {
  listener.acceptor.async_accept([this, &listener](const error_code& error, tcp::socket socket) {
    if (error == asio::error::operation_aborted || closed_) return;
    if (error && error != asio::error::connection_aborted) return accept_later(listener, error.value());
    if (!error) {
      if (std::exchange(listener.paused, false)) node::log_info(settings_.name, "takes connections again");
      welcome_(std::move(socket));
    }
    accept(listener);
  });
}

/// EMFILE and the like: those that are in go on, and who waits outside is taken when one has gone.
void Listeners::accept_later(Listener& listener, int os_errno) {
  if (!std::exchange(listener.paused, true)) {
    const bool descriptors = os_errno == EMFILE || os_errno == ENFILE;
    auto line = "cannot take connections on port " + std::to_string(settings_.port) +
                ", trying again each 100 ms: " + std::generic_category().message(os_errno);
    if (descriptors) line += std::string("; ") + kMoreDescriptors;
    node::log_warn(settings_.name, line);
  }
  listener.retry.expires_after(kAcceptRetryDelay);
  listener.retry.async_wait([this, &listener](const error_code& error) {
    if (!error && !closed_) accept(listener);
  });
}

}  // namespace qh::serve
