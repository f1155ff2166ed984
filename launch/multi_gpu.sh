#!/usr/bin/env bash
# Trains on every GPU of this machine, and goes on when it fails.
#
#   CONFIG=configs/paws_cifar10_4000.py WORKDIR=runs/paws launch/multi_gpu.sh
#
# One process drives all GPUs. It is started again from its newest checkpoint
# when it fails; a signal to this script saves, and ends it with status 75.
# More settings: launch/common.sh, PYTHON (default: .venv/bin/python).
set -euo pipefail
# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PYTHON=${PYTHON:-$ROOT/.venv/bin/python}
asked=
child=

# Passes a signal on, so that the run saves before it ends.
stop() {
  asked=1
  [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
}

# Runs the program; its status is in `status`.
run() {
  "$PYTHON" "${TRAIN[@]}" &
  child=$!
  status=0
  wait "$child" || status=$?
  # A signal ends the first wait, and not yet the program.
  while kill -0 "$child" 2>/dev/null; do
    status=0
    wait "$child" || status=$?
  done
}

parse "$@"
check_common
[[ ${#ARGUMENTS[@]} == 0 ]] || die "No arguments are known, and it got: $*"
cd "$ROOT"
train_words
if [[ -n $DRY_RUN ]]; then
  act "$PYTHON" "${TRAIN[@]}"
  exit 0
fi
trap stop TERM INT
while true; do
  run
  [[ -z $asked ]] || exit "$status"
  after "$status" || exit 0
done
