"""SQL on a cluster's primary: sessions, statements, roles and users, databases, extensions, the catalog.

``sql`` (sessions) and ``statements`` (SQL texts) are for every package above, the rest are effects.
"""
