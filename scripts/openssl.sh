#!/usr/bin/env bash
# openssl.sh where|build|update - OpenSSL 3.5 or newer for this project (docs/adr/0002-openssl-from-debian-source.md).
#
# where    prints `system` when the system's headers are 3.5 or newer, else the prefix of a static one: that of
#          QH_OPENSSL_ROOT, or the one that was built into the cache. Fails when there is none.
# build    does nothing when `where` finds one; else builds Debian 13's source package into the cache.
# update   builds the newest source package of the mirror, unless the cache has it.
#
# Trust: apt checks the signature on Debian's Release file with Debian's archive keyring, Release names the hash of the
# source index, and the index names the hashes of the source package. No unsigned or unchecked step is allowed.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Static, and without what nobody here asks for: each part left out is a part that is not compiled and not attacked.
configure_options=(
  no-shared no-tests no-docs no-apps no-module no-engine no-dso no-legacy no-autoload-config no-ui-console
  no-ssl3 no-tls1 no-tls1_1 no-dtls no-quic no-comp no-psk no-srp no-srtp no-sctp no-weak-ssl-ciphers
  no-cmp no-cms no-ct no-ts no-ocsp no-rfc3779 no-gost no-ec2m no-dsa no-siphash
  no-aria no-bf no-camellia no-cast no-des no-idea no-md4 no-mdc2 no-rc2 no-rc4 no-rmd160 no-seed
  no-sm2 no-sm3 no-sm4 no-whirlpool)
compiler_options=(-O2 -fPIC -fstack-protector-strong)

recipe=$(printf '%s\n' "$(uname -m)" "${configure_options[@]}" "${compiler_options[@]}" | sha256sum | cut -c1-12)

system_is_new_enough() {
  local version
  version=$(printf '#include <openssl/opensslv.h>\nqh OPENSSL_VERSION_MAJOR OPENSSL_VERSION_MINOR\n' |
    "${CC:-cc}" -E -P -x c - 2>/dev/null | sed -n 's/^qh //p') || return 1
  read -r major minor <<<"${version:-0 0}"
  [[ ${major} =~ ^[0-9]+$ && ${minor} =~ ^[0-9]+$ ]] && ((major > 3 || (major == 3 && minor >= 5)))
}

cached() { find "$cache" -maxdepth 1 -type d -name "openssl-*-$recipe" 2>/dev/null | sort -V | tail -n 1; }

where() {
  local prefix
  if [[ -n ${QH_OPENSSL_ROOT:-} ]]; then
    printf '%s\n' "$QH_OPENSSL_ROOT"
  elif system_is_new_enough; then
    echo system
  else
    prefix=$(cached)
    [[ -n $prefix ]] && printf '%s\n' "$prefix"
  fi
}

# The mirror that this machine uses for Debian's main archive ($1 empty) or for its security updates ($1 = -Security);
# further arguments are apt's.
mirror() {
  # shellcheck disable=SC2016  # apt's own variables
  apt-get "${@:2}" indextargets --format '$(REPO_URI) $(COMPONENT) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
    awk -v label="Debian$1" '$2 == "main" && $3 == "Debian" && $4 == label { print $1; exit }'
}

# Lines for a private sources.list: source packages of Debian 13, and of its security updates where the machine has them.
sources() {  # may use directory $1
  local main security lists=()
  main=$(mirror "")
  if [[ -z $main ]]; then  # the machine's lists are empty; read them into a place of our own, for which no root is needed
    mkdir -p "$1/machine/partial"
    lists=(-o "Dir::State::lists=$1/machine" -o "Dir::Cache=$1/apt")
    step openssl-mirror "Reading the machine's package lists" apt-get "${lists[@]}" update || exit 1
    main=$(mirror "" "${lists[@]}")
  fi
  security=$(mirror -Security "${lists[@]}")
  [[ -n $main ]] || die "apt knows no Debian mirror on this machine: apt-get indextargets shows none"
  printf 'deb-src [signed-by=%s] %s trixie main\n' "$keyring" "$main"
  [[ -z $security ]] || printf 'deb-src [signed-by=%s] %s trixie-security main\n' "$keyring" "$security"
}

apt_options=()
use_private_apt() {  # in directory $1
  mkdir -p "$1/lists/partial" "$1/apt/archives/partial"
  sources "$1" >"$1/sources.list"
  apt_options=(
    -o "Dir::Etc::sourcelist=$1/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$1/lists" -o "Dir::Cache=$1/apt"
    -o Acquire::AllowInsecureRepositories=false -o Acquire::AllowDowngradeToInsecureRepositories=false
    -o APT::Get::AllowUnauthenticated=false -o Acquire::Retries=3)
}

# The versions that the signed index names, newest first.
versions() {
  apt-cache "${apt_options[@]}" showsrc --only-source openssl | sed -n 's/^Version: //p' | sort -rV | uniq
}

download() {  # version $2 into directory $1
  cd "$1" &&
    apt-get "${apt_options[@]}" -q --only-source source "openssl=$2"
}

compile() (  # in directory $1, installs below $1/stage
  set -e
  cd "$1"/openssl-*/
  ./Configure "linux-$(uname -m)" --prefix="$1/stage" --libdir=lib --openssldir=/usr/lib/ssl \
    "${configure_options[@]}" "${compiler_options[@]}"
  make -s -j"$cores" build_libs
  make -s install_dev
  rm -rf "$1/stage/lib/cmake" "$1/stage/lib/pkgconfig" # they name the temporary directory
  "${CC:-cc}" "$root/scripts/openssl_check.c" -I"$1/stage/include" -o "$1/check" \
    "$1/stage/lib/libssl.a" "$1/stage/lib/libcrypto.a" -pthread -ldl
  "$1/check"
)

build() {  # $1: build (not when another run has just built it) or update (not when it is the newest)
  local work version prefix got=""
  [[ -r $keyring ]] || die "Debian's archive keyring is missing ($keyring): install debian-archive-keyring"
  mkdir -p "$cache"
  exec 9>"$cache/openssl.lock"
  flock -n 9 || { say "Another run is building OpenSSL; waiting for it."; flock 9; }
  if [[ $1 == build && -n $(cached) ]]; then return 0; fi
  work=$(mktemp -d "$cache/openssl-build.XXXXXX")
  # shellcheck disable=SC2064  # the directory of now is meant
  trap "rm -rf '$work'" EXIT
  use_private_apt "$work"
  step openssl-index "Reading Debian 13's source index, signed by Debian" apt-get "${apt_options[@]}" update ||
    die "the index could not be read, or its signature did not verify (an old debian-archive-keyring lacks Debian 13's keys: apt-get install debian-archive-keyring)"
  for version in $(versions); do  # a mirror may not have the newest file that its index names
    prefix="$cache/openssl-$version-$recipe"
    if [[ -d $prefix ]]; then
      say "OpenSSL $version is built, and there is no newer one to be had."
      return 0
    fi
    if step_may_fail=1 step openssl-source "Downloading OpenSSL $version" download "$work" "$version"; then
      got=$version
      break
    fi
    say "The mirror's index names $version, but it could not be downloaded; trying the one before. Why: $logs/openssl-source.log"
  done
  [[ -n $got ]] || die "no source package of OpenSSL for Debian 13 could be downloaded; see $logs/openssl-source.log"
  step openssl-build "Building OpenSSL $got, once (about $((20 + 120 / cores)) s)" compile "$work"
  mv -T "$work/stage" "$prefix"
}

case "${1:-}" in
  where) where ;;
  build) where >/dev/null || build build ;;
  update) if system_is_new_enough; then say "OpenSSL is the system's: apt updates it."; else build update; fi ;;
  *) die "usage: scripts/openssl.sh where|build|update" ;;
esac
