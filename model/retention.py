"""Which backups a policy still needs: decided here, carried out by pgBackRest's ``expire``."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from model.backups import Backup, BackupPolicy, BackupType, RepositoryContents
from model.doubts import doubted
from model.drills import Proof


def fulls_to_keep(
    contents: RepositoryContents,
    policy: BackupPolicy,
    now: datetime,
    read: Collection[str] = frozenset(),
    proofs: Sequence[Proof] = (),
) -> int:
    """Return how many of the full backups are to be kept, the youngest ones, with all that needs them.

    A full backup goes when ``keep_full`` younger ones are kept *and* every moment of the last ``keep_days`` days can be
    restored without it: when one of the younger ones was finished before the window begins. The archive is kept from
    the beginning of the oldest one that is kept. A backup with an error promises nothing, and goes with its time; so do
    one that ended beyond the point of a failover, from which recovery cannot go on, and one of which the *proofs* say
    that it is not whole, or may not be. What a backup needs whose id is in *read*, because it is being restored, is
    kept as well.
    """
    youngest_first = sorted(
        (each for each in contents.backups if each.type is BackupType.FULL), key=_finished, reverse=True
    )
    window = now - timedelta(days=policy.keep_days)
    unsure = doubted(contents.backups, proofs)
    good = 0
    for kept, backup in enumerate(youngest_first, start=1):
        if backup.error is None and contents.is_on_history(backup) and backup.id not in unsure:
            good += 1
            if good >= policy.keep_full and backup.finished_at <= window:
                return max(kept, _kept_for(read, youngest_first))
    return len(youngest_first)


def _kept_for(read: Collection[str], youngest_first: Sequence[Backup]) -> int:
    """Return how many full ones are to be kept so that those in *read* are; an id begins with its full one's."""
    needed = {each.partition("_")[0] for each in read}
    return max((kept for kept, backup in enumerate(youngest_first, start=1) if backup.id in needed), default=0)


def _finished(backup: Backup) -> datetime:
    return backup.finished_at
