"""A node's life: its container and files, starting, stopping, fencing, what it says of itself, replication.

``lifecycle`` and ``replication`` are effects; packages above import the others to look at nodes and to end them.
"""
