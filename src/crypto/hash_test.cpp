#include "crypto/hash.h"

#include <string>

#include <gtest/gtest.h>

namespace qh::crypto {
namespace {

struct KnownAnswer {
  std::string input;
  const char* sha256;
  const char* sha3_256;
};

// The examples that NIST publishes with FIPS 180-4 and FIPS 202; the 1 MiB one was computed with another program.
const KnownAnswer kKnownAnswers[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
     "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
     "41c0dba2a9d6240849100376a8235e2c82e1b9998a999e21db32dd97496d3376"},
    {std::string(200, '\xa3'), "8edfea24cad8f0e6da7fb5ebde442300fdf913be8a3bdfce06557e34d8f4efa3",
     "79f38adec5c20307a98ef76e8324afbfd46cfd81b22e3973c65fa1bd9de31787"},
    {std::string(1'000'000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
     "5c8875ae474a3634ba4fd55ec85bffd661f32aca75c6d699d0cdcb6c115891c1"},
    {std::string(1 << 20, 'a'), "9bc1b2a288b26af7257a36277ae3816a7d4f16e89c1e7e77d0a5c48bad62b360",
     "5048a5da1f1212329f4b7fbfcae42c03c5378312c643085410661fdb3569b50a"},
};

TEST(Hash, KnownAnswers) {
  for (const auto& known : kKnownAnswers) {
    SCOPED_TRACE(known.input.size());
    EXPECT_EQ(to_hex(sha256(as_bytes(known.input))), known.sha256);
    EXPECT_EQ(to_hex(sha3_256(as_bytes(known.input))), known.sha3_256);
  }
}

}  // namespace
}  // namespace qh::crypto
