#!/usr/bin/env bash
# Makes a Python environment of exactly the packages in requirements.lock.
#
#     docker/install.sh cpu|gpu FOLDER
#
# gpu: everything as locked, checked by hash. cpu: without CUDA's packages, and with the build of
# torch, in the locked version, that PyTorch serves for machines without a GPU.
set -euo pipefail
kind="$1" folder="$2"
lock="$(dirname "$0")/requirements.lock"

python3.11 -m venv "$folder"
install=("$folder/bin/pip" install --quiet --no-cache-dir --no-deps)
case "$kind" in
  gpu)
    "${install[@]}" --require-hashes --requirement "$lock" ;;
  cpu)
    awk '/^[a-z]/ { skip = /^(torch==|triton==|nvidia-|cuda-)/ } !skip' "$lock" > "$folder/cpu.lock"
    "${install[@]}" --require-hashes --requirement "$folder/cpu.lock"
    version="$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' "$lock")"
    "${install[@]}" --index-url https://download.pytorch.org/whl/cpu "torch==$version" ;;
  *)
    echo "install.sh: $kind is neither cpu nor gpu" >&2
    exit 2 ;;
esac
"$folder/bin/pip" check
