"""Applications that use a cluster: names on its record, so that people see who would be hit by a change."""

from datetime import datetime
from zlib import crc32

from model.base import Record

MOST_APPS = 1000
"""On one cluster's record."""


class App(Record):
    """An application that was attached to a cluster. ``id`` is the attachment's, ``app_id`` the same for one name."""

    id: int
    name: str
    attached_at: datetime

    @property
    def app_id(self) -> int:
        """Return the number of the application, which follows from its name."""
        return crc32(self.name.encode())


class Attachment(Record):
    """The answer to the cluster's update ``attach_app``. ``made`` is false where it was attached before."""

    app: App
    made: bool
