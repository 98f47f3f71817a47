"""The cluster's own workflow, its only store: turns, record, watch, healing, drained poolers; and its name's workflow.

Operations import ``claims`` (names), ``start`` (the workflow of a new cluster) and words of ``record``.
"""
