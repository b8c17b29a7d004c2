# shellcheck shell=bash
# common.sh - sourced by ./dev and the scripts beside it: where things are, how a step speaks, how it fails.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs="$root/build/log"
# shellcheck disable=SC2034  # these two are read by the scripts that source this one
cores=$(nproc 2>/dev/null || echo 2)
# shellcheck disable=SC2034
cache="${QH_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}/.cache}/quantumharmony}"

say() { printf '%s\n' "$*" >&2; }

die() {
  printf 'dev: %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# step NAME TEXT COMMAND... - one line on the terminal, its seconds at the end; the rest goes to build/log/NAME.log,
# whose tail is shown when the command fails (unless step_may_fail is set: the caller has another way). A long build tells how far it is, once a minute.
step() {
  local name=$1 text=$2 log="$logs/$1.log" begin=$SECONDS pid status=0 told=0 elapsed
  shift 2
  mkdir -p "$logs"
  printf '%s ... ' "$text" >&2
  set -m # a process group of its own, so that an interrupt reaches all of it
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  # shellcheck disable=SC2064  # the process of now is meant
  trap "kill -INT -- -$pid 2>/dev/null; echo interrupted >&2; exit 130" INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.1
    elapsed=$((SECONDS - begin))
    if ((elapsed / 60 > told)); then
      told=$((elapsed / 60))
      printf '\n  %d min %s... ' "$told" "$(grep -oE '^\[[0-9]+/[0-9]+\]' "$log" | tail -n 1 | sed 's/$/ /')" >&2
    fi
  done
  wait "$pid" || status=$?
  trap - INT TERM
  if ((status == 0)); then
    printf 'done, %d s\n' "$((SECONDS - begin))" >&2
    return 0
  fi
  printf 'failed after %d s\n' "$((SECONDS - begin))" >&2
  [[ -z ${step_may_fail:-} ]] || return "$status"
  tail -n 40 "$log" >&2
  say "The whole log of '$name': $log"
  return "$status"
}

# As root: as we are, by sudo, or by telling the person what to run.
as_root() {
  if [[ $EUID == 0 ]]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    die "this needs root, and there is no sudo. Run as root, then try again: $*"
  fi
}
