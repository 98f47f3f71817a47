"""Decisions: one module per operation, and the cluster's own long-lived workflow. No I/O."""
