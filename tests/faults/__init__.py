"""Faults: whatever dies, whenever it dies, each operation ends done or undone, and the cluster is whole.

``python -m tests.faults`` runs the kill matrix in full, ``test_matrix.py`` a seeded sample of it.
"""
