#include "bench/peers/generator/conversation.h"

namespace qh::bench {

std::string message_body() {
  std::string body(kMessageBytes, 'a');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i * 7 % 26);
  return body;
}

std::unique_ptr<Conversation> make_conversation(std::string_view protocol, unsigned messages) {
  if (messages < 1 || messages > kBatchMax) return nullptr;
  if (protocol == "redis") return make_redis(messages);
  if (protocol == "http") return make_http(messages);
  if (protocol == "binary") return make_binary(messages);
  if (messages != 1) return nullptr;
  if (protocol == "beanstalkd") return make_beanstalkd();
  if (protocol == "postgres") return make_postgres();
  return nullptr;
}

}  // namespace qh::bench
