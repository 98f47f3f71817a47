#!/bin/sh
# Make Temporal's databases, and bring their tables to this version. Safe to run again.
set -eu
SQL_PASSWORD="$(cat /run/mpg-secrets/temporal-db)"
export SQL_PASSWORD

for name in temporal visibility; do
    SQL_DATABASE=temporal
    [ "$name" = temporal ] || SQL_DATABASE=temporal_visibility
    export SQL_DATABASE
    temporal-sql-tool create-database
    temporal-sql-tool setup-schema --version 0.0
    temporal-sql-tool update-schema --schema-name "postgresql/v12/$name"
done
