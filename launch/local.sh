#!/usr/bin/env bash
# Run a recipe on this machine's devices: one worker per GPU (WORKERS=n takes fewer: a fleet of n nodes has work for no
# more); on CPUs, as many workers as the recipe says.
#
#     launch/local.sh recipes/three_body_12.toml [train|compare] [options of orbital-train]
#
# Ray is started for the run and ended with it, with token authentication and no dashboard.
set -euo pipefail
PATH="$(cd "$(dirname "$0")/.." && pwd)/.venv/bin:$PATH"  # what scripts/quickstart installed, if it did
recipe=${1:?usage: launch/local.sh RECIPE [train|compare] [OPTIONS]}
command=${2:-train}
shift $(($# < 2 ? $# : 2))

export RAY_AUTH_MODE=token
gpus=$(nvidia-smi --list-gpus 2>/dev/null | wc -l || true)
devices=()
if [ "$gpus" -gt 0 ]; then
    devices=(--set "cluster.workers=${WORKERS:-$gpus}" --set cluster.device=cuda)
fi
exec orbital-train "$command" "$recipe" "${devices[@]}" "$@"
