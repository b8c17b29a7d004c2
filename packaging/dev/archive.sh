#!/usr/bin/env bash
# archive.sh OUT LIBCRYPTO|- CRYPTO_ROOM ROOM... - one static library of the rooms, without debug information.
#
# A static libcrypto goes into it with the room that calls it, as one object whose OpenSSL symbols are local: a program
# that links OpenSSL of another version itself keeps it, and neither answers for the other.
set -euo pipefail

out=$1 libcrypto=$2 crypto_room=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ $libcrypto == - ]]; then
  crypto=(addlib "$crypto_room")
else
  "${LD:-ld}" -r -d -o "$work/qh_crypto.o" --whole-archive "$crypto_room" --no-whole-archive "$libcrypto"
  # All that it defines, be it code, data, weak or common; not what a member only uses.
  "${NM:-nm}" --extern-only "$libcrypto" 2>/dev/null | awk 'NF == 3 && $2 !~ /[Uw]/ { print $3 }' | sort -u >"$work/local"
  "${OBJCOPY:-objcopy}" --localize-symbols="$work/local" "$work/qh_crypto.o"
  crypto=(addmod "$work/qh_crypto.o")
fi
{
  echo "create $work/out.a"
  printf 'addlib %s\n' "$@"
  echo "${crypto[@]}"
  printf 'save\nend\n'
} | "${AR:-ar}" -M
"${STRIP:-strip}" --strip-debug -o "$out" "$work/out.a"
