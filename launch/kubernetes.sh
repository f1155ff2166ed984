#!/usr/bin/env bash
# Trains as a JobSet on GKE TPUs, from launch/kubernetes.yaml.
#
#   IMAGE=europe-docker.pkg.dev/project/repository/semppl_jax \
#   WORKDIR=gs://bucket/run launch/kubernetes.sh --dry-run
#
# Without --dry-run it applies the JobSet. `launch/kubernetes.sh logs` prints its
# log, `delete` deletes it. A failed or preempted run restarts from its
# checkpoint. Build the image with launch/Dockerfile.
#
# Settings, besides those of launch/common.sh:
#   IMAGE         image with semppl_jax; required
#   ACCELERATOR   type of the nodes; default: tpu-v5-lite-podslice
#   TOPOLOGY      default: 8x8; see docs/scale.md
#   HOSTS         nodes of the slice; default: 16
#   CHIPS         chips of each node; default: 4
set -euo pipefail
# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

IMAGE=${IMAGE:-}
ACCELERATOR=${ACCELERATOR:-tpu-v5-lite-podslice}
TOPOLOGY=${TOPOLOGY:-8x8}
HOSTS=${HOSTS:-16}
CHIPS=${CHIPS:-4}

# Exits if nodes and slice do not match: Kubernetes would wait without end.
check_slice() {
  [[ $TOPOLOGY =~ ^[0-9]+(x[0-9]+)+$ ]] ||
    die "TOPOLOGY=$TOPOLOGY must be a shape such as 8x8."
  [[ $HOSTS =~ ^[0-9]+$ && $CHIPS =~ ^[0-9]+$ ]] ||
    die "HOSTS=$HOSTS and CHIPS=$CHIPS must be numbers."
  local all=$((${TOPOLOGY//x/*}))
  ((all == HOSTS * CHIPS)) ||
    die "TOPOLOGY=$TOPOLOGY has $all chips, but HOSTS=$HOSTS times" \
      "CHIPS=$CHIPS is $((HOSTS * CHIPS))."
}

# Prints the arguments as a YAML list.
quoted() {
  local word all=()
  for word in "$@"; do
    word=${word//\\/\\\\}
    all+=("\"${word//\"/\\\"}\"")
  done
  local IFS=,
  echo "${all[*]}"
}

fill_in() {
  local text name
  text=$(<"$ROOT/launch/kubernetes.yaml")
  for name in NAME RESTARTS HOSTS ACCELERATOR TOPOLOGY IMAGE ARGS CHIPS; do
    text=${text//"\${$name}"/${!name}}
  done
  printf '%s\n' "$text"
}

parse "$@"
check_common gs://bucket/run
need IMAGE 'the image with semppl_jax' europe-docker.pkg.dev/project/repository/semppl_jax
[[ $WORKDIR == gs://?* || $WORKDIR == /?* ]] ||
  die "WORKDIR=$WORKDIR must be a bucket (gs://...) or a mounted folder (/...)."
check_slice
set_train_command
TRAIN+=(--distributed)
# shellcheck disable=SC2034
ARGS=$(quoted "${TRAIN[@]}")
case ${ARGUMENTS[*]:-apply} in
  apply)
    if [[ -n $DRY_RUN ]]; then
      fill_in
      act kubectl apply -f -
    else
      fill_in | kubectl apply -f -
    fi
    ;;
  logs)
    act kubectl logs --follow --selector="jobset.sigs.k8s.io/jobset-name=$NAME,batch.kubernetes.io/job-completion-index=0"
    ;;
  delete) act kubectl delete jobset "$NAME" ;;
  *) die "${ARGUMENTS[*]} must be one of apply, logs and delete." ;;
esac
