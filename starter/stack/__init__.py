"""The embedded stack: Temporal's development server and the workers, kept running by a supervisor process.

``embedded`` starts, stops and describes it; the command line and the quickstart import that.
"""
