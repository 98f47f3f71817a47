"""Backups: a cluster's repository and the backups in it, how one is made, and the archive of WAL between them.

``pgbackrest`` runs the program in containers of its own; ``repository``, ``backup`` and ``archive`` are effects.
"""
