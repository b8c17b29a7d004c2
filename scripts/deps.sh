#!/usr/bin/env bash
# deps.sh build|check|bench... - installs what is missing of the named groups, by apt on Debian 12 and 13; elsewhere says
# once what is needed and goes on. Then OpenSSL (openssl.sh). Says nothing when there is nothing to do.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

release() { (. /etc/os-release 2>/dev/null && echo "${ID:-unknown}${VERSION_ID:-}") || echo unknown; }

list="$root/scripts/packages-$(release).txt"

packages() {  # of the groups named
  local group
  for group in "$@"; do awk -v group="$group" '$1 == group { print $2 }' "$list"; done
}

missing() {
  local wanted=("$@")
  comm -23 <(printf '%s\n' "${wanted[@]}" | sort -u) \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null | sed -n 's/^installed //p' | sort -u)
}

apt_install() {
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  if compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null && as_root "${apt[@]}" --no-install-recommends install "$@"; then
    return 0
  fi
  as_root "${apt[@]}" update  # no lists, or older ones than the mirror
  as_root "${apt[@]}" --no-install-recommends install "$@"
}

services() { { compgen -G '/lib/systemd/system/*.service'; compgen -G '/etc/init.d/*'; } | sort; }

# Of what the benchmarks compare us with only the programs are wanted: its services are started neither by the
# installation (Debian's policy-rc.d answers 101 for "no") nor at the next boot. Services that were here stay as they are.
apt_install_without_services() {
  local policy=/usr/sbin/policy-rc.d before service status=0
  before=$(services)
  if [[ ! -e $policy ]]; then
    # shellcheck disable=SC2064  # the file of now is meant
    trap "as_root rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  apt_install "$@" || status=$?
  while read -r service; do
    case $service in
      '' | *@.service) ;;
      *.service) if have systemctl; then as_root systemctl disable "${service##*/}"; fi ;;
      *) as_root update-rc.d "${service##*/}" disable ;;
    esac
  done < <(comm -13 <(printf '%s\n' "$before") <(services))
  return "$status"
}

install_packages() {
  local wanted=() absent=()
  mapfile -t wanted < <(packages "$@")
  mapfile -t absent < <(missing "${wanted[@]}")
  if [[ $(release) == debian12 && ! -e /usr/share/keyrings/debian-archive-trixie-stable.gpg ]]; then
    absent+=(debian-archive-keyring) # an old one; that of a later point release knows Debian 13's keys
  fi
  ((${#absent[@]} > 0)) || return 0
  local by_hand="apt-get update && apt-get install --no-install-recommends ${absent[*]}"
  if [[ $EUID != 0 ]]; then
    have sudo || die "packages are missing, and there is no sudo. Run as root: $by_hand"
    # sudo asks now, not in the middle of a step that has no terminal.
    if [[ -t 0 ]]; then sudo -v; else sudo -n true; fi || die "sudo did not let us. Run as root: $by_hand"
  fi
  local how=apt_install
  if [[ " $* " == *" bench "* ]]; then how=apt_install_without_services; fi
  step apt "Installing ${#absent[@]} packages: ${absent[*]} (about $((10 + 3 * ${#absent[@]})) s)" "$how" "${absent[@]}"
}

tell_packages() {
  local mark="$root/build/log/packages-told"
  [[ ! -e $mark ]] || return 0
  list="$root/scripts/packages-debian13.txt"
  say "This is not Debian 12 or 13, so nothing is installed for you. Needed, by their names on Debian 13:"
  packages "$@" | tr '\n' ' ' | fold -s -w 110 | sed 's/^/  /' >&2
  say ""
  say "Going on with what is here."
  mkdir -p "$root/build/log" && : >"$mark"
}

if [[ -r $list ]] && have apt-get; then install_packages "$@"; else tell_packages "$@"; fi

"$root/scripts/openssl.sh" build
