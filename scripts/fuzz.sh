#!/usr/bin/env bash
# fuzz.sh SECONDS [NAME] - runs every fuzz target of build/fuzz/bin, or one, for SECONDS each.
#
# The corpus in fuzz/corpus/NAME is copied first, so that a run never changes the tree. A finding ends with its file
# under build/fuzz/findings and exit code 1; put a minimised one into fuzz/corpus/NAME, where every test run replays it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

seconds=$1
only=${2:-}
findings="$root/build/fuzz/findings"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$findings" "$logs"

failed=()
ran=0
for target in "$root"/build/fuzz/bin/fuzz_*; do
  [[ -x $target ]] || continue
  name=${target##*/fuzz_}
  [[ -z $only || $only == "$name" ]] || continue
  ran=$((ran + 1))
  mkdir -p "$work/$name"
  if [[ -d $root/fuzz/corpus/$name ]]; then cp -R "$root/fuzz/corpus/$name/." "$work/$name/"; fi
  log="$logs/fuzz-$name.log"
  printf 'Fuzzing %s for %d s ... ' "$name" "$seconds" >&2
  if "$target" "$work/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$findings/$name-" >"$log" 2>&1 </dev/null; then
    say "nothing found, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs"
  else
    say "FOUND"
    tail -n 30 "$log" >&2
    failed+=("$name: $(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)")
  fi
done

((ran > 0)) || die "no fuzz target${only:+ named $only} in build/fuzz/bin"
if ((${#failed[@]} > 0)); then
  printf 'finding in %s\n' "${failed[@]}" >&2
  say "Again: build/fuzz/bin/fuzz_NAME FILE"
  exit 1
fi
