# shellcheck shell=bash
# Common settings and functions; every launch script sources this file.
#
# Settings are environment variables:
#
#   CONFIG=configs/resnet50_1pct.py WORKDIR=gs://bucket/run launch/tpu_vm.sh
#
# With --dry-run a script prints its commands and runs none of them.

CONFIG=${CONFIG:-configs/resnet50_10pct.py} # Config to train.
WORKDIR=${WORKDIR:-}    # Directory of the run; every host must reach it.
FLAGS=${FLAGS:-}        # More flags of semppl_jax.main, separated by spaces.
NAME=${NAME:-semppl}    # Name of the slice, the job and its log.
RESTARTS=${RESTARTS:-20} # Maximum number of restarts, with preemptions.
POLL=${POLL:-30}        # Seconds between two checks of a job.
DRY_RUN=${DRY_RUN:-}    # Set by --dry-run.

# Exit statuses of semppl_jax.main.
# shellcheck disable=SC2034
readonly FINISHED=0 BAD_INPUT=2 STOPPED=75

say() { printf '%s: %s\n' "$NAME" "$*" >&2; }

die() {
  say "$*"
  exit "$BAD_INPUT"
}

# Runs a command; with --dry-run prints it, quoted for a shell.
act() {
  if [[ -n $DRY_RUN ]]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

# Exits unless a variable is set: need VARIABLE DESCRIPTION EXAMPLE.
need() {
  [[ -n ${!1} ]] || die "$1 is required: $2, as in $1=$3."
}

check_common() {
  need WORKDIR 'the directory of the run' "${1:-runs/$NAME}"
  [[ -f $ROOT/$CONFIG || -f $CONFIG ]] || die "CONFIG=$CONFIG not found."
  [[ $RESTARTS =~ ^[0-9]+$ ]] || die "RESTARTS=$RESTARTS must be a number."
  [[ $NAME =~ ^[a-z]([-a-z0-9]*[a-z0-9])?$ ]] ||
    die "NAME=$NAME must be lower-case letters, digits and dashes, and start" \
      'with a letter.'
}

# Parses --dry-run; the other arguments are in ARGUMENTS.
parse() {
  ARGUMENTS=()
  local argument
  for argument in "$@"; do
    case $argument in
      --dry-run) DRY_RUN=1 ;;
      -*) die "Unknown flag $argument; the only flag is --dry-run, settings" \
        "are environment variables (launch/common.sh)." ;;
      *) ARGUMENTS+=("$argument") ;;
    esac
  done
}

# Sets TRAIN to the arguments of the training command.
set_train_command() {
  TRAIN=(-m semppl_jax.main "--config=$CONFIG" "--workdir=$WORKDIR")
  # FLAGS is split at spaces.
  # shellcheck disable=SC2206
  TRAIN+=($FLAGS)
}

# Handles the exit status of the program.
#
# Returns 0 to restart it, 1 if the run is finished. Exits on bad input, or
# after the maximum number of restarts.
handle_status() {
  local status=$1
  case $status in
    "$FINISHED") return 1 ;;
    "$BAD_INPUT") die 'Bad input, see above: not restarted.' ;;
  esac
  ((RESTARTED += 1))
  if ((RESTARTED > RESTARTS)); then
    say "Ended with status $status after $RESTARTS restarts: giving up."
    exit 1
  fi
  say "Ended with status $status; restart $RESTARTED of at most $RESTARTS."
}

RESTARTED=0
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
