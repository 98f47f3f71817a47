"""Effects: containers, Postgres, the poolers, the endpoint. A package for each thing touched.

Lowest first: ``engine``, ``postgres``, ``nodes``, ``routing``, ``takeover``, ``recovery``, ``watching``. A package
imports from itself and from lower ones, which a contract in pyproject.toml holds. ``registry`` builds it all.
"""
