"""What the floor's nodes run: the shortest shell that makes a data directory and starts Postgres."""

from model.names import PGDATA, REPLICATOR, REPOSITORY_PATH, SUPERUSER, VOLUME_PATH

RUN = f"""
exec postgres -D {PGDATA} -c config_file={VOLUME_PATH}/conf/postgresql.conf \
  -c hba_file={VOLUME_PATH}/conf/pg_hba.conf -c unix_socket_directories=/run/postgresql
"""
INIT = f"""
[ -s {PGDATA}/PG_VERSION ] || initdb --no-sync --username={SUPERUSER} --encoding=UTF8 --data-checksums \
  --auth=scram-sha-256 --wal-segsize=4 --pwfile={VOLUME_PATH}/conf/bootstrap-password \
  --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C.UTF-8 --pgdata={PGDATA} >/dev/null || exit 1
[ -s {REPOSITORY_PATH}/archive ] || pgbackrest stanza-create --no-online || exit 1
"""
REWIND_FILE = f"{VOLUME_PATH}/rewind-from"
REWIND = f"""
if [ -s {REWIND_FILE} ]; then
  export PGPASSFILE={VOLUME_PATH}/conf/pgpass
  rm -f {PGDATA}/postmaster.pid
  pg_rewind --target-pgdata={PGDATA} --config-file={VOLUME_PATH}/conf/postgresql.conf \
    --source-server="dbname=postgres user={REPLICATOR} host=$(cat {REWIND_FILE})" || exit 1
  : > {PGDATA}/postgresql.auto.conf
  : > {PGDATA}/standby.signal
  rm {REWIND_FILE}
fi
"""
CLONE = f"""
export PGPASSFILE={VOLUME_PATH}/conf/pgpass
if [ ! -s {PGDATA}/PG_VERSION ]; then
  until pg_basebackup --no-sync --wal-method=stream --checkpoint=fast --no-password \
    --host=$PRIMARY_HOST --username={REPLICATOR} --pgdata={PGDATA} 2>/dev/null
  do rm -rf {PGDATA}; sleep 0.02; done
  : > {PGDATA}/postgresql.auto.conf
  : > {PGDATA}/standby.signal
fi
"""
