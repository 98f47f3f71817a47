"""How clients get to a node: the endpoint and its rules, the PgBouncers, their files, consoles and pauses.

``endpoint`` and ``poolers`` are effects; packages above import the others to pause, route and resume clients.
"""
