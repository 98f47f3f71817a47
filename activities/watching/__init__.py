"""The watch of each cluster, which tells its workflow what was lost, and who runs which watch.

``cluster_watch`` is the effect. ``watch_ownership`` is for the worker.
"""
