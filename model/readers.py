"""Who reads a cluster's backups: restores, on whichever host, on record from before they choose until they end."""

from collections.abc import Sequence

from model.backups import Reading


def reading_begun(readers: Sequence[Reading], reading: Reading) -> tuple[Reading, ...]:
    """Return *readers* with *reading*, which may be there already and has chosen its backup by now."""
    others = [each for each in readers if each.operation_id != reading.operation_id]
    return (*others, reading)


def reading_over(readers: Sequence[Reading], operation_id: str) -> tuple[Reading, ...]:
    """Return *readers* without the operation of that id."""
    return tuple(each for each in readers if each.operation_id != operation_id)


def backups_read(readers: Sequence[Reading]) -> tuple[str, ...]:
    """Return the ids of the backups that are read."""
    return tuple(sorted({each.backup_id for each in readers if each.backup_id is not None}))


def is_chosen(readers: Sequence[Reading]) -> bool:
    """Tell whether everybody has chosen: until then any backup may be the one."""
    return all(each.backup_id is not None for each in readers)
