#!/usr/bin/env bash
# with_journal.sh COMMAND [ARGS] - runs COMMAND with `--dir` on a fresh ext4 with a journal: what most users have.
#
# A loop mount over an image of 6 GiB in the current directory's file system, unmounted and removed at the end.
# Needs root.
set -euo pipefail
image=$(mktemp -p "${TMPDIR:-/var/tmp}" qh-ext4-XXXXXX.img)
mount_point=$(mktemp -d)
cleanup() {
  umount "$mount_point" 2>/dev/null || true
  rm -f "$image"
  rmdir "$mount_point" 2>/dev/null || true
}
trap cleanup EXIT
# Allocated, so that the image's own growth is not what is measured.
fallocate -l 6G "$image"
mkfs.ext4 -q -F -O has_journal -E lazy_itable_init=0,lazy_journal_init=0 "$image"
mount -o loop "$image" "$mount_point"
"$@" --dir "$mount_point"
