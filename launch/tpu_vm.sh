#!/usr/bin/env bash
# Trains on a Cloud TPU slice: creates it, installs, starts the run, prints its
# log, fetches the run and deletes the slice. After a preemption it creates a
# new slice and continues.
#
#   ZONE=europe-west4-a WORKDIR=gs://bucket/run launch/tpu_vm.sh --dry-run
#   ZONE=europe-west4-a WORKDIR=gs://bucket/run launch/tpu_vm.sh
#
# A single step: launch/tpu_vm.sh create | install | start | follow | fetch |
# delete. Ctrl-C keeps the slice running; `follow` prints its log again.
#
# Settings, besides those of launch/common.sh:
#   ZONE            zone of the slice; required
#   PROJECT         default: the project of gcloud
#   ACCELERATOR     default: v3-128 (128 cores); see docs/scale.md
#   RUNTIME         software of the hosts; default: tpu-ubuntu2204-base
#   SPOT=1          a cheaper, preemptible slice
#   QUEUED=1        request a queued resource and wait for it
#   KEEP=1          keep the slice after the run; it is still billed
#   RESULTS         directory for `fetch`; default: runs/$NAME
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
# Status of `follow` and `create` without a slice; not used by the program.
readonly NO_SLICE=70
# Maximum consecutive failed checks of a slice that is reported as READY.
readonly PATIENCE=10

set_location() {
  WHERE=("--zone=$ZONE")
  [[ -z $PROJECT ]] || WHERE+=("--project=$PROJECT")
}

vm() { act gcloud compute tpus tpu-vm "$1" "$NAME" "${@:2}" "${WHERE[@]}"; }

queue() {
  act gcloud compute tpus queued-resources "$1" "$NAME" "${@:2}" "${WHERE[@]}"
}

on_all() { vm ssh --worker=all "--command=$1"; }

on_first() { vm ssh --worker=0 "--command=$1"; }

# Prints the state of the slice, such as READY; nothing if there is none.
state() { vm describe '--format=value(state)' 2>/dev/null || true; }

create() {
  # Old shells treat an empty array as unset.
  local spot=()
  [[ -z $SPOT ]] || spot=(--spot)
  if [[ -z $QUEUED ]]; then
    say "Creating $ACCELERATOR in $ZONE."
    vm create "--accelerator-type=$ACCELERATOR" "--version=$RUNTIME" \
      ${spot[@]+"${spot[@]}"}
    return
  fi
  say "Requesting $ACCELERATOR in $ZONE."
  queue create "--node-id=$NAME" "--accelerator-type=$ACCELERATOR" \
    "--runtime-version=$RUNTIME" ${spot[@]+"${spot[@]}"} || return
  [[ -z $DRY_RUN ]] || return 0
  local state_now
  while true; do
    state_now=$(queue describe '--format=value(state.state)')
    case $state_now in
      ACTIVE) return ;;
      FAILED | SUSPENDING | SUSPENDED)
        say "The request is $state_now; see: gcloud compute tpus" \
          "queued-resources describe $NAME ${WHERE[*]}"
        return 1
        ;;
    esac
    say "The request is $state_now."
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
  set_train_command
  TRAIN+=(--distributed)
  local words
  words=$(printf '%q ' .venv/bin/python "${TRAIN[@]}")
  # Processes of a failed start must not hold the devices. The bracket keeps
  # pkill from matching the shell that calls it.
  on_all "pkill -9 -f '[s]emppl_jax.main' || true; cd $REMOTE;\
 rm -f $STATUS; nohup bash -c\
 $(printf '%q' "$words>>$LOG 2>&1; echo \$? >$STATUS")\
 >/dev/null 2>&1 </dev/null &"
}

# Prints the log until the run ends, after its first `seen` lines. Returns the
# status of the run, or NO_SLICE.
follow() {
  local failed_checks=0 raw text status state_now
  if [[ -n $DRY_RUN ]]; then
    on_first "$(log_command 1)"
    return 0
  fi
  while true; do
    if raw=$(on_first "$(log_command $((seen + 1)))"); then
      failed_checks=0
      status=${raw##*$'\n'status=}
      text=${raw%$'\n'status=*}
      text=${text%$'\n'}
      if [[ -n $text ]]; then
        printf '%s\n' "$text"
        seen=$((seen + $(wc -l <<<"$text")))
      fi
      [[ -z $status ]] || return "$status"
    else
      ((failed_checks += 1))
      state_now=$(state)
      if [[ $state_now != READY ]] || ((failed_checks > PATIENCE)); then
        say "The slice is ${state_now:-deleted}."
        return "$NO_SLICE"
      fi
      say 'The first host does not respond; the slice is READY.'
    fi
    sleep "$POLL"
  done
}

# Prints the command that prints the log from a line on, then status=STATUS.
log_command() {
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
    # --force also deletes the slice.
    queue delete --force --quiet
  else
    vm delete --quiet
  fi
}

on_interrupt() {
  say "The slice is still running and billed. To print its log:" \
    "launch/tpu_vm.sh follow; to delete it: launch/tpu_vm.sh delete (with the" \
    'same settings).'
  exit 130
}

# Runs all steps, and again after each preemption.
all() {
  trap on_interrupt INT
  if [[ -z $DRY_RUN && -n $(state) ]]; then
    die "A slice $NAME already exists in $ZONE: follow or delete it, or use" \
      'another NAME.'
  fi
  trap clean_up EXIT
  create
  install
  start
  local status
  while true; do
    status=0
    follow || status=$?
    # A spot slice saves when asked to stop, and is deleted a little later.
    [[ $status != "$STOPPED" || -n $DRY_RUN ]] || sleep "$POLL"
    handle_status "$status" || break
    if [[ $(state) != READY ]]; then
      recreate
    fi
    start
  done
  fetch
}

# Creates the slice again; repeats until there is capacity.
recreate() {
  say 'Creating the slice again.'
  delete || true
  seen=0
  until create; do
    handle_status "$NO_SLICE"
    sleep "$POLL"
  done
  install
}

# Deletes the slice at the end of the script, except after Ctrl-C or with KEEP.
clean_up() {
  local status=$?
  if [[ $status == 130 ]]; then
    exit 130
  elif [[ -n $KEEP ]]; then
    say 'KEEP is set: the slice is kept and still billed.'
  else
    delete || say 'The slice could not be deleted and may still be billed.'
  fi
  exit "$status"
}

parse "$@"
check_common gs://bucket/run
need ZONE 'the zone of the slice' europe-west4-a
[[ $WORKDIR == gs://?* || $WORKDIR == /?* ]] ||
  die "WORKDIR=$WORKDIR must be a bucket (gs://...) or a folder (/...) that is" \
    "mounted on all hosts."
set_location
seen=0
case ${ARGUMENTS[*]:-all} in
  all | create | install | start | follow | fetch | delete)
    "${ARGUMENTS[0]:-all}"
    ;;
  *) die "${ARGUMENTS[*]} must be one of create, install, start, follow, fetch" \
    "and delete; without an argument, all of them run." ;;
esac
