"""Decisions. No I/O. ``cluster`` is the cluster's own workflow, ``operations`` has one module for each operation.

What several of them share is here: ``call`` (timeouts and retries of effects), ``operation``, ``nodes``, ``saga``.
"""
