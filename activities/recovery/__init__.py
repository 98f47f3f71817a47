"""From what is really there to a record and a service that are right: inspection, return to service, adoption.

Nothing here promotes a node. Nobody but ``registry`` imports from this package.
"""
