"""Histories of every operation, each way of ending it: what a running workflow may have behind it when code changes."""
