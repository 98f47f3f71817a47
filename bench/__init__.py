"""Where the numbers in README come from: each section measures the product, and where it can a floor beside it.

A floor is a script that does the same steps with the Docker API and psycopg and no orchestrator, in the same run on
the same machine. Ratios to it travel to other machines; absolute figures don't.
"""
