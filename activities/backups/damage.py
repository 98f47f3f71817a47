"""What pgBackRest and Postgres say of backups and archives that are not whole: another try meets it again."""

_DAMAGED = frozenset({26, 28, 29, 55, 95})
"""pgBackRest's codes for what is wrong with the repository itself (its build/error/error.yaml): a checksum, a file, a
format, a file that is missing, a cipher."""
_SIGNS = (
    "the archive has a hole",
    "recovery ended before configured recovery target",
    "requested recovery stop point",
)


def is_for_good(sentence: str, code: int | None) -> bool:
    """Tell whether a restore that ended with *code*, of which pgBackRest said *sentence*, ends so each time."""
    return code in _DAMAGED or any(sign in sentence for sign in _SIGNS)
