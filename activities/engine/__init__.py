"""The container engine: calls to Docker and what they return, labels, the host's capacity, removal of a cluster.

Any package of activities may import from here. Knows nothing of Postgres or PgBouncer.
"""
