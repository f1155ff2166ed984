#!/usr/bin/env bash
# Trains on a Cloud TPU slice: makes it, installs, starts, follows, fetches and
# deletes it; after a preemption it makes another and goes on.
#
#   ZONE=europe-west4-a WORKDIR=gs://bucket/run launch/tpu_vm.sh --dry-run
#   ZONE=europe-west4-a WORKDIR=gs://bucket/run launch/tpu_vm.sh
#
# One step alone: launch/tpu_vm.sh create | install | start | follow | fetch |
# delete. Ctrl-C leaves the slice at work; `follow` takes it up again.
#
# Settings beside those of launch/common.sh:
#   ZONE            where the slice is; needed
#   PROJECT         default: that of gcloud
#   ACCELERATOR     default: v3-128 (128 cores); docs/scale.md says what fits
#   RUNTIME         software of the hosts; default: tpu-ubuntu2204-base
#   SPOT=1          a cheaper slice that can be taken away
#   QUEUED=1        ask by a queued resource, and wait for it
#   KEEP=1          leave the slice when the run is over: it goes on costing
#   RESULTS         where `fetch` puts the run; default: runs/$NAME
set -euo pipefail
# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ZONE=${ZONE:-}
PROJECT=${PROJECT:-}
ACCELERATOR=${ACCELERATOR:-v3-128}
RUNTIME=${RUNTIME:-tpu-ubuntu2204-base}
SPOT=${SPOT:-}
QUEUED=${QUEUED:-}
KEEP=${KEEP:-}
RESULTS=${RESULTS:-runs/$NAME}
readonly REMOTE=semppl_jax LOG=run.log STATUS=run.status
# What `follow` and `create` say of a slice; no status of the program.
readonly NO_SLICE=70
# Looks in a row that may fail while the slice is said to be there.
readonly PATIENCE=10

where() {
  WHERE=("--zone=$ZONE")
  [[ -z $PROJECT ]] || WHERE+=("--project=$PROJECT")
}

vm() { act gcloud compute tpus tpu-vm "$1" "$NAME" "${@:2}" "${WHERE[@]}"; }

queue() {
  act gcloud compute tpus queued-resources "$1" "$NAME" "${@:2}" "${WHERE[@]}"
}

on_all() { vm ssh --worker=all "--command=$1"; }

on_first() { vm ssh --worker=0 "--command=$1"; }

# READY, or what else the slice is; nothing where there is none.
state() { vm describe '--format=value(state)' 2>/dev/null || true; }

create() {
  # Old shells take an empty array for one that is not set.
  local spot=()
  [[ -z $SPOT ]] || spot=(--spot)
  if [[ -z $QUEUED ]]; then
    say "Making $ACCELERATOR in $ZONE."
    vm create "--accelerator-type=$ACCELERATOR" "--version=$RUNTIME" \
      ${spot[@]+"${spot[@]}"}
    return
  fi
  say "Asking for $ACCELERATOR in $ZONE."
  queue create "--node-id=$NAME" "--accelerator-type=$ACCELERATOR" \
    "--runtime-version=$RUNTIME" ${spot[@]+"${spot[@]}"} || return
  [[ -z $DRY_RUN ]] || return 0
  local now
  while true; do
    now=$(queue describe '--format=value(state.state)')
    case $now in
      ACTIVE) return ;;
      FAILED | SUSPENDING | SUSPENDED)
        say "The request is $now; see: gcloud compute tpus queued-resources" \
          "describe $NAME ${WHERE[*]}"
        return 1
        ;;
    esac
    say "The request is $now."
    sleep "$POLL"
  done
}

install() {
  say 'Installing on every host.'
  local archive
  archive=$(mktemp -d)/$REMOTE.tgz
  act tar -C "$ROOT" --exclude=.git --exclude=.venv --exclude=runs \
    --exclude='*.egg-info' --exclude='__pycache__' -czf "$archive" .
  act gcloud compute tpus tpu-vm scp "$archive" "$NAME:$REMOTE.tgz" \
    --worker=all "${WHERE[@]}"
  rm -r "$(dirname "$archive")"
  # Ubuntu 22.04 has Python 3.10 by default, which is too old.
  on_all "set -e; mkdir -p $REMOTE; tar -C $REMOTE -xzf $REMOTE.tgz;\
 cd $REMOTE; command -v python3.11 >/dev/null ||\
 { sudo apt-get update -q && sudo apt-get install -qy python3.11-venv; };\
 test -x .venv/bin/python || python3.11 -m venv .venv;\
 .venv/bin/python -m pip install --quiet --editable '.[tpu]'"
}

start() {
  say 'Starting on every host.'
  train_words
  TRAIN+=(--distributed)
  local words
  words=$(printf '%q ' .venv/bin/python "${TRAIN[@]}")
  # What is left of a failed start must not hold the devices. The bracket
  # keeps pkill from finding the shell that calls it.
  on_all "pkill -9 -f '[s]emppl_jax.main' || true; cd $REMOTE;\
 rm -f $STATUS; nohup bash -c\
 $(printf '%q' "$words>>$LOG 2>&1; echo \$? >$STATUS")\
 >/dev/null 2>&1 </dev/null &"
}

# Prints the log until the run ends. Returns its status, or that the slice is
# gone; `seen` lines of the log have been printed before.
follow() {
  local lost=0 raw text status now
  if [[ -n $DRY_RUN ]]; then
    on_first "$(look 1)"
    return 0
  fi
  while true; do
    if raw=$(on_first "$(look $((seen + 1)))"); then
      lost=0
      status=${raw##*$'\n'status=}
      text=${raw%$'\n'status=*}
      text=${text%$'\n'}
      if [[ -n $text ]]; then
        printf '%s\n' "$text"
        seen=$((seen + $(wc -l <<<"$text")))
      fi
      [[ -z $status ]] || return "$status"
    else
      ((lost += 1))
      now=$(state)
      if [[ $now != READY ]] || ((lost > PATIENCE)); then
        say "The slice is ${now:-gone}."
        return "$NO_SLICE"
      fi
      say 'The first host does not answer; the slice is READY.'
    fi
    sleep "$POLL"
  done
}

# What prints the log from a line on, then `status=` and the status, if any.
look() {
  local ended="printf '\\nstatus=%s\\n' \"\$(cat $STATUS 2>/dev/null)\""
  printf '%s\n' "cd $REMOTE; tail -n +$1 $LOG 2>/dev/null; $ended"
}

fetch() {
  say "Fetching the run to $RESULTS."
  act mkdir -p "$RESULTS"
  if [[ $WORKDIR == gs://* ]]; then
    act gcloud storage rsync --recursive "$WORKDIR" "$RESULTS"
  else
    act gcloud compute tpus tpu-vm scp --recurse --worker=0 \
      "$NAME:$WORKDIR/*" "$RESULTS" "${WHERE[@]}"
  fi
}

delete() {
  say 'Deleting the slice.'
  if [[ -n $QUEUED ]]; then
    # With --force its slice too.
    queue delete --force --quiet
  else
    vm delete --quiet
  fi
}

left() {
  say "The slice is left as it is, and costs. Follow it: launch/tpu_vm.sh" \
    "follow; delete it: launch/tpu_vm.sh delete (with the same settings)."
  exit 130
}

# Everything, however often the slice is taken away.
all() {
  trap left INT
  if [[ -z $DRY_RUN && -n $(state) ]]; then
    die "There is a slice $NAME in $ZONE already: follow or delete it, or take" \
      'another NAME.'
  fi
  trap over EXIT
  create
  install
  start
  local status
  while true; do
    status=0
    follow || status=$?
    # A spot slice saves when it is told to go, and goes a little later.
    [[ $status != "$STOPPED" || -n $DRY_RUN ]] || sleep "$POLL"
    after "$status" || break
    if [[ $(state) != READY ]]; then
      again
    fi
    start
  done
  fetch
}

# Makes the slice anew; where there is none to have, asks until there is.
again() {
  say 'Making the slice again.'
  delete || true
  seen=0
  until create; do
    after "$NO_SLICE"
    sleep "$POLL"
  done
  install
}

# Deletes the slice, whatever ended the run, but for Ctrl-C and KEEP.
over() {
  local status=$?
  if [[ $status == 130 ]]; then
    exit 130
  elif [[ -n $KEEP ]]; then
    say 'KEEP is set: the slice is left, and costs.'
  else
    delete || say 'It could not be deleted: look for it, since it costs.'
  fi
  exit "$status"
}

parse "$@"
check_common gs://bucket/run
need ZONE 'where the slice is' europe-west4-a
[[ $WORKDIR == gs://?* || $WORKDIR == /?* ]] ||
  die "WORKDIR=$WORKDIR must be a bucket (gs://...) or, on all hosts, the same" \
    "mounted folder (/...)."
where
seen=0
case ${ARGUMENTS[*]:-all} in
  all | create | install | start | follow | fetch | delete)
    "${ARGUMENTS[0]:-all}"
    ;;
  *) die "${ARGUMENTS[*]} must be one of create, install, start, follow, fetch" \
    "and delete, or nothing: all of them." ;;
esac
