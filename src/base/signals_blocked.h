// base/signals_blocked.h - threads that no signal interrupts: they inherit the mask of whoever starts them.
//
// Signals are the main thread's business. One that is taken in the middle of a durable write could cut it short, and
// its EINTR would not say whether the write or its sync was (base/file_storage_file.h).
//
// Threads  a scope of the calling thread. What says that this thread itself went wrong (SIGSEGV, SIGABRT, ...) stays
//          open: blocked, it would end the process past the handlers of sanitizers.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <initializer_list>

namespace qh {

class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t most;
    sigfillset(&most);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&most, own);
    pthread_sigmask(SIG_BLOCK, &most, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace qh
