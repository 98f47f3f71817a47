"""The dashboard: pages for people, served by the process of the API. A folder for each tab: its route and template.

Handlers check, ask or start, and render; whatever they know of clusters they know by :mod:`starter.client`.
"""

from starter.dashboard.app import make_dashboard
from starter.dashboard.own_paths import OwnPaths

__all__ = ["OwnPaths", "make_dashboard"]
