"""Rows that are sampled when a backup is made, to be compared with those of its restore.

A table changes while it is backed up, so what is compared has to be exact. Rows are read in a snapshot that was taken
before the position ``lsn`` of WAL, and only those that nobody had begun to delete or to change when they were read,
after it. Who restores to just that position has each of them, in its place. A busy table only yields fewer rows.

Kept as an annotation of the backup, so it goes with it; the rows themselves are not in it.
"""

import base64
import zlib

from model.base import Record

ANNOTATION = "sample"
"""Of a backup, in pgBackRest's words."""
MOST_TABLES = 100
MOST_LETTERS = 24_000
"""Of the annotation: each command of pgBackRest reads those of all backups."""


class TableSample(Record):
    """Some rows of a table: where they are, and a digest over them."""

    database: str
    oid: int
    filenode: int
    """Another one means that the table was written anew."""
    schema_name: str
    name: str
    rows: int
    """As Postgres estimates them; -1 where it never counted. Told, and not compared."""
    places: tuple[str, ...]
    """``(block,offset)``"""
    digest: str

    def __str__(self) -> str:
        return f"{self.schema_name}.{self.name} of database {self.database}"


class Sample(Record):
    """Rows of some tables at the position ``lsn`` of WAL on ``timeline``, which is in the archive."""

    lsn: str
    timeline: int
    tables: tuple[TableSample, ...] = ()

    def encode(self) -> str:
        """Return it as text that needs no quoting, of as many tables as :data:`MOST_LETTERS` have room for."""
        kept = self
        while len(text := _packed(kept)) > MOST_LETTERS:
            kept = kept.model_copy(update={"tables": kept.tables[: len(kept.tables) // 2]})
        return text

    @classmethod
    def decode(cls, text: str) -> "Sample":
        """Return what :meth:`encode` made *text* of. Raises ``ValueError`` for anything else."""
        try:
            return cls.model_validate_json(zlib.decompress(base64.urlsafe_b64decode(text)))
        except zlib.error as error:
            raise ValueError(f"not a sample: {error}") from None


def _packed(sample: Sample) -> str:
    return base64.urlsafe_b64encode(zlib.compress(sample.model_dump_json().encode(), 9)).decode()
