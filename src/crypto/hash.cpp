#include "crypto/hash.h"

#include <openssl/evp.h>

#include "base/invariant.h"

namespace qh::crypto {
namespace {

/// Fetched once: a lookup by name at each call would cost more than the digest of a short message.
Digest32 digest(const EVP_MD* algorithm, ByteView data) {
  Digest32 out;
  unsigned size = 0;
  const int done =
      EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(out.data()), &size, algorithm, nullptr);
  INVARIANT(done == 1 && size == out.size(), "OpenSSL could not compute a digest");
  return out;
}

const EVP_MD* fetch(const char* name) {
  const EVP_MD* algorithm = EVP_MD_fetch(nullptr, name, nullptr);
  INVARIANT(algorithm != nullptr, "OpenSSL lacks a digest of its default provider");
  return algorithm;
}

}  // namespace

Digest32 sha256(ByteView data) {
  static const EVP_MD* const kAlgorithm = fetch("SHA2-256");
  return digest(kAlgorithm, data);
}

Digest32 sha3_256(ByteView data) {
  static const EVP_MD* const kAlgorithm = fetch("SHA3-256");
  return digest(kAlgorithm, data);
}

}  // namespace qh::crypto
