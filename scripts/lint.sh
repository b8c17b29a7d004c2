#!/usr/bin/env bash
# lint.sh [format] - what ./dev lint checks after the header check: format, shell, arrows, clang-tidy; the quick ones first.
# With `format`, formats the sources in place instead.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

first_of() {  # the first of the named commands that is here
  local name
  for name in "$@"; do
    if have "$name"; then
      echo "$name"
      return
    fi
  done
  die "none of $* is installed: run ./dev deps"
}

# Tracked files, and new ones that are not ignored.
files() { git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do [[ ! -e $file ]] || echo "$file"; done; }

mapfile -t cpp < <(files 'src/*.h' 'src/*.cpp' 'apps/*.h' 'apps/*.cpp' 'sim/*.h' 'sim/*.cpp' 'tests/*.h' 'tests/*.cpp' \
  'bench/*.h' 'bench/*.cpp' 'fuzz/*.h' 'fuzz/*.cpp' 'examples/*.h' 'examples/*.cpp' 'cmake/*.cpp')
clang_format=$(first_of clang-format-16 clang-format-19 clang-format)

if [[ ${1:-} == format ]]; then
  "$clang_format" -i "${cpp[@]}"
  exit
fi

failed=()
check() { step "lint-$1" "${@:2}" || failed+=("$1"); }

format() { printf '%s\0' "${cpp[@]}" | xargs -0 -n 40 -P "$cores" "$clang_format" --dry-run -Werror; }

shell() {
  local scripts=()
  mapfile -t scripts < <(files dev .ci/run '*.sh')
  shellcheck -x "${scripts[@]}"
}

# What the compilation database has of ours: no generated source, and no test that must not compile. The database is
# GCC's, whose warnings Clang does not all know.
tidy() {
  local units=()
  mapfile -t units < <(python3 - "$root" build/release/compile_commands.json <<'PYTHON'
import json
import os
import sys
root, database = sys.argv[1:]
ours = tuple(os.path.join(root, room) + os.sep for room in ("src", "apps", "sim", "tests", "bench", "fuzz", "examples"))
print("\n".join(sorted({unit["file"] for unit in json.load(open(database)) if unit["file"].startswith(ours)})))
PYTHON
  )
  # shellcheck disable=SC2016  # the inner shell expands
  printf '%s\0' "${units[@]}" | xargs -0 -n 1 -P "$cores" bash -c '
    set -o pipefail
    "$@" 2>&1 | { grep -vE "^[0-9]+ warnings? (and [0-9]+ errors? )?generated\.$" || true; }' _ \
    "$(first_of clang-tidy-16 clang-tidy-19)" -p build/release --quiet --extra-arg=-Wno-unknown-warning-option
}

if [[ $clang_format == clang-format-16 ]]; then
  check format "Checking the format of ${#cpp[@]} files" format
else
  say "Not checking the format: it is judged by clang-format-16 (Debian 12), and $clang_format lays some lines out otherwise."
fi
check shell "Checking the shell scripts" shell
check arrows "Checking the arrows between the rooms" python3 tests/lint/arrows.py .
sources=$(printf '%s\n' "${cpp[@]}" | grep -c '\.cpp$' || true)
check tidy "Running clang-tidy over $sources sources (about $((sources * 5 / cores + 1)) s)" tidy

((${#failed[@]} == 0)) || die "lint found something in: ${failed[*]}"
