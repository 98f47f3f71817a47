"""What clusters and this worker do, in figures, for Prometheus: docs/metrics.md."""
