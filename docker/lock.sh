#!/usr/bin/env bash
# Writes requirements.lock anew from pyproject.toml: `pip install uv && docker/lock.sh`.
set -euo pipefail
cd "$(dirname "$0")/.."
uv pip compile pyproject.toml --extra cluster --extra data --extra video \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
    --generate-hashes --no-annotate --custom-compile-command docker/lock.sh \
    --quiet --output-file docker/requirements.lock
