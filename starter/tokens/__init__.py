"""API tokens: macaroons that Fly's client accepts, what they allow, and which of them are in force.

``macaroon`` is the wire form and its signature, ``grants`` what the caveats mean, ``keyring`` the key and the record of
what was issued. The command line mints and revokes with them, the API verifies.
"""
