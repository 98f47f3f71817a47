"""What this machine needs before a stack can run: a Docker engine, Temporal, the node images, Prometheus.

:func:`check` only looks; :func:`ensure` also starts, installs and builds. Both answer with one result a prerequisite.
"""

from starter.prerequisites.doctor import check, ensure
from starter.prerequisites.result import CheckName, CheckResult, CheckState, OnProgress

__all__ = ["CheckName", "CheckResult", "CheckState", "OnProgress", "check", "ensure"]
