# shellcheck shell=bash
# The settings and words of every launch script; each sources this file.
#
# Settings are variables of the environment:
#
#   CONFIG=configs/resnet50_1pct.py WORKDIR=gs://bucket/run launch/tpu_vm.sh
#
# Every script prints what it will do, and does nothing, under --dry-run.

CONFIG=${CONFIG:-configs/resnet50_10pct.py} # What to train.
WORKDIR=${WORKDIR:-}    # Where the run goes; every host must reach it.
FLAGS=${FLAGS:-}        # More flags of semppl_jax.main, apart by spaces.
NAME=${NAME:-semppl}    # Of the slice, the job and its log.
RESTARTS=${RESTARTS:-20} # Give up after so many; a preemption counts too.
POLL=${POLL:-30}        # Seconds between two looks at a job.
DRY_RUN=${DRY_RUN:-}    # Set by --dry-run.

# What semppl_jax.main ends with.
# shellcheck disable=SC2034
readonly FINISHED=0 BAD_INPUT=2 STOPPED=75

say() { printf '%s: %s\n' "$NAME" "$*" >&2; }

die() {
  say "$*"
  exit "$BAD_INPUT"
}

# Does a command, or prints it under --dry-run so that a shell could read it.
act() {
  if [[ -n $DRY_RUN ]]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

# Stops unless the variables are set: `need VARIABLE "what it says"`.
need() {
  [[ -n ${!1} ]] || die "$1 must say $2, as in $1=$3."
}

check_common() {
  need WORKDIR 'where the run goes' "${1:-runs/$NAME}"
  [[ -f $ROOT/$CONFIG || -f $CONFIG ]] || die "CONFIG=$CONFIG is no file."
  [[ $RESTARTS =~ ^[0-9]+$ ]] || die "RESTARTS=$RESTARTS must be a number."
  [[ $NAME =~ ^[a-z]([-a-z0-9]*[a-z0-9])?$ ]] ||
    die "NAME=$NAME must be small letters, digits and dashes, a letter first."
}

# Takes --dry-run out of the arguments; the rest are in ARGUMENTS.
parse() {
  ARGUMENTS=()
  local argument
  for argument in "$@"; do
    case $argument in
      --dry-run) DRY_RUN=1 ;;
      -*) die "$argument is no flag; there is --dry-run, and settings are" \
        "variables (launch/common.sh)." ;;
      *) ARGUMENTS+=("$argument") ;;
    esac
  done
}

# The words of the command that trains, in TRAIN.
train_words() {
  TRAIN=(-m semppl_jax.main "--config=$CONFIG" "--workdir=$WORKDIR")
  # Flags have no spaces of their own: that is what the setting says.
  # shellcheck disable=SC2206
  TRAIN+=($FLAGS)
}

# Goes on, or not, after the program ended with a status.
#
# Returns 0 where it should be started again. Ends this script where the run is
# finished, its input is bad, or it was started often enough.
after() {
  local status=$1
  case $status in
    "$FINISHED") return 1 ;;
    "$BAD_INPUT") die 'The input is bad, as said above: not started again.' ;;
  esac
  ((RESTARTED += 1))
  if ((RESTARTED > RESTARTS)); then
    say "Ended with status $status, and started again $RESTARTS times already."
    exit 1
  fi
  say "Ended with status $status; restart $RESTARTED of at most $RESTARTS."
}

RESTARTED=0
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
