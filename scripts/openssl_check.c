/* openssl_check.c - run once after OpenSSL was built: everything that QuantumHarmony asks of it is there and works. */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void expect(int ok, const char* what) {
  if (ok) return;
  fprintf(stderr, "missing in this OpenSSL: %s\n", what);
  failures++;
}

static int kem_round_trip(const char* name) {
  unsigned char wire[4096], ours[128], theirs[128];
  size_t wire_bytes = sizeof wire, ours_bytes = sizeof ours, theirs_bytes = sizeof theirs;
  EVP_PKEY* key = EVP_PKEY_Q_keygen(NULL, NULL, name);
  if (key == NULL) return 0;
  EVP_PKEY_CTX* ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
  int ok = EVP_PKEY_encapsulate_init(ctx, NULL) == 1 &&
           EVP_PKEY_encapsulate(ctx, wire, &wire_bytes, ours, &ours_bytes) == 1 &&
           EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
           EVP_PKEY_decapsulate(ctx, theirs, &theirs_bytes, wire, wire_bytes) == 1 && ours_bytes == theirs_bytes &&
           memcmp(ours, theirs, ours_bytes) == 0;
  EVP_PKEY_CTX_free(ctx);
  EVP_PKEY_free(key);
  return ok;
}

static int signature_round_trip(const char* name) {
  static unsigned char signature[65536];
  size_t bytes = sizeof signature;
  const unsigned char text[] = "QuantumHarmony";
  EVP_PKEY* key = EVP_PKEY_Q_keygen(NULL, NULL, name);
  EVP_MD_CTX* ctx = EVP_MD_CTX_new();
  int ok = key != NULL && EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
           EVP_DigestSign(ctx, signature, &bytes, text, sizeof text) == 1;
  EVP_MD_CTX_free(ctx);
  ctx = EVP_MD_CTX_new();
  ok = ok && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
       EVP_DigestVerify(ctx, signature, bytes, text, sizeof text) == 1;
  EVP_MD_CTX_free(ctx);
  EVP_PKEY_free(key);
  return ok;
}

int main(void) {
  static const char* const digests[] = {"SHA2-256", "SHA2-512", "SHA3-256", "SHA3-512", "SHAKE256"};
  static const char* const ciphers[] = {"AES-256-GCM", "AES-256-CTR", "ChaCha20-Poly1305"};
  static const char* const kdfs[] = {"HKDF", "ARGON2ID", "SCRYPT"};
  static const char* const kems[] = {"ML-KEM-768", "ML-KEM-1024", "X25519MLKEM768"};
  static const char* const signatures[] = {"ML-DSA-65", "ML-DSA-87", "SLH-DSA-SHAKE-128f", "ED25519"};
  for (size_t i = 0; i < sizeof digests / sizeof *digests; i++) {
    EVP_MD* md = EVP_MD_fetch(NULL, digests[i], NULL);
    expect(md != NULL, digests[i]);
    EVP_MD_free(md);
  }
  for (size_t i = 0; i < sizeof ciphers / sizeof *ciphers; i++) {
    EVP_CIPHER* cipher = EVP_CIPHER_fetch(NULL, ciphers[i], NULL);
    expect(cipher != NULL, ciphers[i]);
    EVP_CIPHER_free(cipher);
  }
  for (size_t i = 0; i < sizeof kdfs / sizeof *kdfs; i++) {
    EVP_KDF* kdf = EVP_KDF_fetch(NULL, kdfs[i], NULL);
    expect(kdf != NULL, kdfs[i]);
    EVP_KDF_free(kdf);
  }
  for (size_t i = 0; i < sizeof kems / sizeof *kems; i++) expect(kem_round_trip(kems[i]), kems[i]);
  for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
    expect(signature_round_trip(signatures[i]), signatures[i]);
  SSL_CTX* tls = SSL_CTX_new(TLS_method());
  expect(tls != NULL && SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) == 1 &&
             SSL_CTX_set1_groups_list(tls, "X25519MLKEM768") == 1,
         "TLS 1.3 with X25519MLKEM768");
  SSL_CTX_free(tls);
  if (failures == 0) printf("%s: complete\n", OpenSSL_version(OPENSSL_VERSION));
  return failures == 0 ? 0 : 1;
}
