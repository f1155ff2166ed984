#!/usr/bin/env bash
# Trains on all GPUs of this machine and restarts after a failure.
#
#   CONFIG=configs/paws_cifar10_4000.py WORKDIR=runs/paws launch/multi_gpu.sh
#
# One process drives all GPUs. After a failure it restarts from its newest
# checkpoint. A signal to this script saves and exits with status 75.
# More settings: launch/common.sh, PYTHON (default: .venv/bin/python).
set -euo pipefail
# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PYTHON=${PYTHON:-$ROOT/.venv/bin/python}
stopping=
child=

# Forwards a signal, so that the run saves before it ends.
stop() {
  stopping=1
  [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
}

# Runs the program and sets `status`.
run() {
  "$PYTHON" "${TRAIN[@]}" &
  child=$!
  status=0
  wait "$child" || status=$?
  # A signal ends `wait` before the program has ended.
  while kill -0 "$child" 2>/dev/null; do
    status=0
    wait "$child" || status=$?
  done
}

parse "$@"
check_common
[[ ${#ARGUMENTS[@]} == 0 ]] || die "Unknown arguments: $*."
cd "$ROOT"
set_train_command
if [[ -n $DRY_RUN ]]; then
  act "$PYTHON" "${TRAIN[@]}"
  exit 0
fi
trap stop TERM INT
while true; do
  run
  [[ -z $stopping ]] || exit "$status"
  handle_status "$status" || exit 0
done
