#!/usr/bin/env bash
# Makes the token that every process of a cluster and every client must show: once, on your own
# machine, readable by you alone. It is neither printed nor overwritten: one that is there, such as
# that of runs on this machine, is kept.
set -euo pipefail
umask 077
mkdir -p ~/.ray
if [ -s ~/.ray/auth_token ]; then
    chmod 600 ~/.ray/auth_token
    echo "the token in ~/.ray/auth_token is kept"
    exit
fi
set -o noclobber
python3 -c 'import secrets; print(secrets.token_hex(32), end="")' > ~/.ray/auth_token
echo "a new token is in ~/.ray/auth_token; clients need RAY_AUTH_MODE=token in their environment"
