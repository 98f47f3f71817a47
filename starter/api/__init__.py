"""The HTTP API: what Fly's own client speaks, and what this project adds to it.

A handler validates, starts an operation or asks for what is recorded through ``starter.client``, and answers. Who may
do what is decided before, in ``authentication``, and where a cluster is looked up, in ``call``.
"""
