"""One node takes over from the other: switchover (planned), failover (the primary is lost), and what a lost one tells.

``handover`` is what both share. ``watching`` imports its clients from here; nobody else imports from this package.
"""
