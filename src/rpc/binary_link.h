// rpc/binary_link.h - the server's side of one stream of the binary codec, without I/O.
//
//   BinaryLink link(dispatcher, caller, [&] { flush_soon(); });
//   in.consume(link.take(in.bytes()));          // whenever something has come, or full() has ended
//   socket.send(link.out()); link.out().clear();  // all answers so far, in one write
//
// It shares methods, roles, bounds and errors with the JSON codec (rpc/dispatcher.h). The calls of a stream are
// started in their order and answered as they end.
//
// Errors   a stream that cannot be understood is ended() from then on: its waits end, and it gets a last word in out()
//          behind the answers of what is still under way.
// Bounds   over kOpenCallsMax calls under way, or kUnsentBytesMax of answers that were not taken out, it is full() and
//          takes no more, so that its owner stops reading; cancels alone are found among what comes (cancel_ahead).
// Threads  one owner, the dispatcher's.
// Lifetime the dispatcher outlives it. Destroying it ends its waits, and drops what is answered afterwards.
#pragma once

#include <cstddef>
#include <memory>

#include "base/bytes.h"
#include "base/unique_function.h"
#include "rpc/caller.h"

namespace qh::rpc {

class Dispatcher;

class BinaryLink {
 public:
  static constexpr std::size_t kOpenCallsMax = 1'024;
  static constexpr std::size_t kUnsentBytesMax = std::size_t{1} << 20;

  /// `answered` is called when something stands in an out() that was empty, also from inside take().
  BinaryLink(Dispatcher& dispatcher, Caller caller, UniqueFunction<void()> answered);
  ~BinaryLink();
  BinaryLink(const BinaryLink&) = delete;
  BinaryLink& operator=(const BinaryLink&) = delete;

  /// Carries out what stands whole at the begin of `in`; how many bytes that was.
  std::size_t take(ByteView in);
  /// How many bytes the unit that `in` begins with has in all, as far as that can be told: the room it needs.
  static std::size_t wanted(ByteView in);

  Bytes& out();
  bool full() const;
  /// Nothing more is taken; the connection ends behind what stands in out() once no call is open.
  bool ended() const;
  std::size_t open_calls() const;
  /// Carries out the cancels in `in`, which take() has left, from the unit at `from` on; where it has come to. In their
  /// turn they do nothing more.
  std::size_t cancel_ahead(ByteView in, std::size_t from);
  /// The peer sends no more: ends the waits. What is under way is still answered.
  void abandon();
  /// From now on what would hand something out is refused: it is not known whether anybody still listens.
  void hand_out_no_more();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace qh::rpc
