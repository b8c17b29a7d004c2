#include "queue/queued_message.h"

#include "crypto/hash.h"

namespace qh::queue {

Hash32 QueuedMessage::digest() const { return crypto::sha3_256(body.view()); }

}  // namespace qh::queue
