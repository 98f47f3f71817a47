"""The ways in, the lowest first: ``client`` and ``prerequisites``, ``stack``, ``cli``, ``quickstart``.

Imports neither workflows nor activities: operations are started by the names in ``model``.
"""
