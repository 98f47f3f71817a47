"""The types of all conditions that a cluster may have, and of those that only its workflow raises."""

from model.backups import ARCHIVE_GAP, ARCHIVE_UNKNOWN
from model.cluster import ARCHIVING_FAILS, BACKUP_OVERDUE, DRILL_FAILED, DRILL_OVERDUE, WRONG_MASTER_KEY
from model.storage_facts import STORAGE_FULL, STORAGE_LOW

NEEDS_OPERATOR = "NeedsOperator"
"""Type of the condition that says what an operator has to do."""
DEGRADED = "Degraded"
"""Type of the condition of a cluster that serves without something: a replica that commits waited for, or what does not
come back."""
DOES_NOT_GROW = "StorageDoesNotGrow"
"""Type of the condition of a cluster that was to grow by itself and could not."""

TYPES = frozenset(
    {
        ARCHIVE_GAP,
        ARCHIVE_UNKNOWN,
        ARCHIVING_FAILS,
        BACKUP_OVERDUE,
        DEGRADED,
        DOES_NOT_GROW,
        DRILL_FAILED,
        DRILL_OVERDUE,
        NEEDS_OPERATOR,
        STORAGE_FULL,
        STORAGE_LOW,
        WRONG_MASTER_KEY,
    }
)
