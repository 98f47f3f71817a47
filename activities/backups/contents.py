"""What pgBackRest's ``info --output=json`` says, as data. Its fields: pgBackRest's Command Reference, "Info"."""

import json
from datetime import UTC, datetime
from typing import Any

from model.backups import Backup, BackupType, RepositoryContents
from model.errors import NotYet
from model.timelines import parse_history, timeline_of

INFO = ("info", "--output=json")
REQUEST = "request"
"""Annotation of each backup: for which request it was made."""
NODE = "node"
"""Annotation: from which node its files were read."""
_HISTORY = "HISTORY "
_READ = """
pgbackrest info --output=json
echo
found=$(pgbackrest repo-ls archive/{stanza} --filter='^[0-9.]+-[0-9]+$')
id=$(echo "$found" | sort --field-separator=- --key=2n | tail -n 1)
[ -n "$id" ] || exit 0
found=$(pgbackrest repo-ls archive/{stanza}/$id --filter='^[0-9A-F]{{8}}\\.history$')
newest=$(echo "$found" | sort | tail -n 1)
[ -n "$newest" ] || exit 0
echo "{history}$newest"
pgbackrest repo-get archive/{stanza}/$id/$newest
"""
_OTHER = 99
"""Status of a repository that could not be read (pgBackRest, command/info/info.c)."""


def parse_contents(answer: str) -> RepositoryContents:
    """Return what is in the repository of one stanza; nothing where there is no stanza.

    Raises:
        NotYet: it could not be read; the sentence is pgBackRest's.
    """
    stanzas: list[dict[str, Any]] = json.loads(answer or "[]")
    if not stanzas:
        return RepositoryContents()
    stanza = stanzas[0]
    _require_read(stanza)
    archives: list[dict[str, Any]] = stanza.get("archive", [])
    newest = archives[-1] if archives else {}
    backups = sorted((_backup(each) for each in stanza.get("backup", [])), key=lambda each: each.finished_at)
    return RepositoryContents(backups=tuple(backups), archive_first=newest.get("min"), archive_last=newest.get("max"))


def reading(stanza: str) -> str:
    """Return the shell's lines that say what :func:`parse_reading` reads: the info, and the newest history file."""
    return _READ.format(stanza=stanza, history=_HISTORY)


def parse_reading(answer: str) -> RepositoryContents:
    """Return what is in the repository of one stanza, with the history of its archive's newest timeline.

    Raises as :func:`parse_contents`.
    """
    info, _, history = answer.partition(f"\n{_HISTORY}")
    contents = parse_contents(info)
    name, _, text = history.partition("\n")
    if not name:
        return contents
    return contents.model_copy(update={"timeline": timeline_of(name.strip()), "forks": parse_history(text)})


def read_annotation(answer: str, backup_id: str, name: str) -> str | None:
    """Return the annotation *name* of a backup; None where it has none, or where there is no such backup."""
    stanzas: list[dict[str, Any]] = json.loads(answer or "[]")
    found = [each for stanza in stanzas for each in stanza.get("backup", []) if each["label"] == backup_id]
    annotations: dict[str, str] = (found[0].get("annotation") if found else None) or {}
    return annotations.get(name)


def archive_directory(answer: str, stanza: str) -> str | None:
    """Return where in the repository the archive of the newest database is; None where there is none yet."""
    stanzas: list[dict[str, Any]] = json.loads(answer or "[]")
    archives: list[dict[str, Any]] = stanzas[0].get("archive", []) if stanzas else []
    return f"archive/{stanza}/{archives[-1]['id']}" if archives else None


def _require_read(stanza: dict[str, Any]) -> None:
    for status in (stanza.get("status", {}), *(repo.get("status", {}) for repo in stanza.get("repo", []))):
        if status.get("code") == _OTHER:
            said = " ".join(str(status.get("message", "")).split())
            raise NotYet(f"The repository of backups could not be read: {said.rstrip('.')}.")


def _backup(said: dict[str, Any]) -> Backup:
    annotations: dict[str, str] = said.get("annotation") or {}
    return Backup(
        id=said["label"],
        type=BackupType(said["type"]),
        started_at=datetime.fromtimestamp(said["timestamp"]["start"], UTC),
        finished_at=datetime.fromtimestamp(said["timestamp"]["stop"], UTC),
        prior=said.get("prior"),
        size_bytes=said["info"]["size"],
        stored_bytes=said["info"]["repository"]["delta"],
        first_lsn=said["lsn"]["start"],
        last_lsn=said["lsn"]["stop"],
        first_wal=said["archive"]["start"],
        last_wal=said["archive"]["stop"],
        request_id=annotations.get(REQUEST),
        node=annotations.get(NODE),
        error="Pages were found whose checksum does not fit." if said.get("error") else None,
    )
