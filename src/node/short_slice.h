// node/short_slice.h - asks the scheduler for short turns, soon.
#pragma once

namespace qh::node {

/// For a thread that mostly waits and is waited for by many: it asks for turns of 0.1 ms, so that it runs soon after it
/// has been woken and is not put behind each client that it wakes. No privilege is needed, and no share of the
/// processor is gained. Kernels before 6.12 know no such thing: nothing happens there. For the calling thread.
void ask_for_short_slices();

}  // namespace qh::node
