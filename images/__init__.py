"""What the containers are made of, as package data: the build recipe and the entrypoints.

The contract of the image, for whoever creates containers from it. Everything below ``/var/lib/postgresql`` is on the
node's data volume. Files are put in place through Docker's archive API after the container is created and before it is
started; the entrypoints run as root just long enough to give them to ``postgres`` (uid and gid 5432). The root
filesystem may be read-only: with volumes at ``/etc/mpg`` and ``/etc/pgbouncer`` where files go there, and a tmpfs at
``/tmp`` and, for a node, ``/run/postgresql``.

========== =============================================================================================================
node       ``node init|clone|rejoin|start``; configuration in ``/var/lib/postgresql/conf``: ``postgresql.conf``,
           ``pg_hba.conf``; for ``init`` also ``bootstrap-password`` (removed once used); for ``clone`` and ``rejoin``
           ``pgpass``. A ``rejoin`` only starts unless there is a file ``rejoin`` there; it is removed in the end. Its
           words: ``rewind``, or for a fresh copy ``beside`` the data or ``in_place`` of it, or ``ahead`` beside data
           that have to stay; then the bytes that a copy needs.
           Variables: ``PRIMARY_HOST``, ``PRIMARY_USER`` (replicator), ``NODE_NAME`` (the host name). Data is in
           ``/var/lib/postgresql/data``, finished once ``data.complete`` is beside it. ``data.copy`` is a copy in the
           making; ``data.former``, ``data.former.2`` and so on what copies took the place of, until
           ``node discard-former`` is run in the container; ``data.rewinding`` stands for ``data.complete`` during a
           rewind. ``wal.unarchived`` has what a primary had not archived when it became a standby. ``run`` has
           Postgres's second socket, for who has the volume. A node that archives has ``pgbackrest.conf`` in its
           configuration, the variables ``PGBACKREST_CONFIG`` and ``PGBACKREST_STANZA``, and where its repository is a
           volume, that in ``/var/lib/pgbackrest``.
restore    ``restore``; fills the volume of a node that is to be started afterwards. In ``/etc/mpg``:
           ``pgbackrest.conf``, ``postgresql.conf``, ``platform.sql``, and in the end ``restored.json``. Variables:
           ``PGBACKREST_CONFIG``, ``PGBACKREST_STANZA``; ``RESTORE_SET`` (the backup), ``RESTORE_TYPE`` and
           ``RESTORE_TARGET`` (pgBackRest's words), ``RESTORE_TIMELINE`` (the newest, if it is not set),
           ``RESTORE_LAST_WAL`` (the end of the archive), ``RESTORE_PROCESSES``. A repository on a volume is in
           ``/var/lib/pgbackrest``, read-only.
drill      ``drill``; restores a backup to a volume that is thrown away, and reads everything in it. As ``restore``,
           with ``compare.sql`` for ``platform.sql``, and in the end ``drilled``. ``RESTORE_TIMELINE`` is that of the
           target; with ``DRILL_LAST_WAL`` the archive is replayed to that segment as well.
recovery   What the two have in common; not to be started.
pooler     ``pooler``; ``/etc/pgbouncer/pgbouncer.ini``; sockets in ``/run/mpg``, meant to be shared with the host.
endpoint   ``endpoint``; ``/etc/mpg/rules.nft``, loaded if it is there. Needs NET_ADMIN.
========== =============================================================================================================
"""
