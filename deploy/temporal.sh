#!/bin/sh
# Start Temporal with the password from its file, and the address that the other roles reach this process at.
set -eu
TEMPORAL_DB_PASSWORD="$(cat /run/mpg-secrets/temporal-db)"
TEMPORAL_IP="$(hostname -i | cut -d ' ' -f 1)"
export TEMPORAL_DB_PASSWORD TEMPORAL_IP
exec temporal-server --root / --config etc/mpg/config --env mpg --allow-no-auth start
