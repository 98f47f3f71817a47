"""Logs: one line an event, JSON or console, with cluster, operation and activity, and never a secret.

An activity has them bound to its lines (activities/log_context.py). What a workflow logs, or Temporal's SDK about one,
gets them here, from what the SDK adds to the record.

Every logger ends here, ours and those of the libraries. Redaction is the last thing before a line is written, after
exceptions were made text, so that it sees what a reader would see.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor
from temporalio import activity, workflow

from model.log_keys import workflow_keys
from model.settings import Settings

MASK = "***"

_SECRET_KEY = re.compile(r"pass(word|wd)|secret|token|api_?key|master_?key|authorization|verifier|credential", re.I)
_QUIET = ("urllib3", "docker", "asyncio")
"""Libraries that say on level info and below only what nobody asked for."""

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A URI's password may hold a raw @ or /, so that everything up to the last @ of the word goes.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@'\"]*):[^\s'\"]+@", re.I), rf"\1:{MASK}@"),
    (re.compile(r"SCRAM-SHA-256\$[^\s'\"]+"), f"SCRAM-SHA-256${MASK}"),
    (re.compile(r"\b(Bearer|FlyV1)\s+[^\s'\"]+", re.I), rf"\1 {MASK}"),
    (re.compile(r"\bfm[12][ar]?_[A-Za-z0-9+/=_-]+"), MASK),
    (
        re.compile(
            r"""((?:\w*pass(?:word|wd)|\w*secret|\w*token|\w*api_?key)['"]?\s*[=:]\s*)
            (?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,;&)}\]]+)""",
            re.I | re.X,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(\bPASSWORD\s+)(?:'(?:[^']|'')*'|\"[^\"]*\")", re.I), rf"\1{MASK}"),
)
_WORD = re.compile(r"[A-Za-z0-9_-]{32,}")


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send every logger's events to *stream* (default stderr), in the format and from the level in *settings*."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(settings, colors=handler.stream.isatty()))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # They are keys of the line, and would be in its text a second time.
    workflow.logger.workflow_info_on_message = False
    activity.logger.activity_info_on_message = False
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # loggers are made at import, before this runs
    )


def redact(value: object) -> object:
    """Return *value* with every secret masked: by the key that names it, or by its shape wherever it stands.

    The shapes: passwords derived by model/secrets.py, URIs with a password, SCRAM verifiers, API tokens,
    ``password=…`` and ``PASSWORD '…'`` in any text.
    """
    match value:
        case str():
            return redact_text(value)
        case bool() | int() | float() | None:
            return value
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return {str(redact(key)): _redact_item(str(key), item) for key, item in items}
        case bytes() | bytearray():
            return redact_text(repr(value))
        case Sequence() | set() | frozenset():
            return [redact(item) for item in cast("Sequence[object]", value)]
        case _:
            return redact_text(str(value))


def redact_text(text: str) -> str:
    """Return *text* with every secret in it masked."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return _WORD.sub(_mask_password, text)


def _redact_item(key: str, value: object) -> object:
    # A number is a version or a count, such as password_version.
    if _SECRET_KEY.search(key) and not isinstance(value, bool | int | float | None):
        return MASK
    return redact(value)


def _mask_password(found: re.Match[str]) -> str:
    """Mask a word that is or holds a derived password: 32 characters of URL-safe base64.

    Such a password lacks an uppercase or a lowercase letter once in 10^7; ids and digests here have no uppercase.
    """
    word = found[0]
    mixed = any(c.isupper() for c in word) and any(c.islower() for c in word)
    joined = len(word) == 32 or not word.isalpha()
    return MASK if mixed and joined else word


def _redact_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    return {key: _redact_item(key, value) for key, value in event.items()}


def _in_our_words(_logger: object, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    """Have what the SDK adds to a record about its workflow or activity bear the names that our own lines use."""
    for added in ("temporal_workflow", "temporal_activity"):
        details: Mapping[str, Any] = event.pop(added, None) or {}
        named = workflow_keys(details["workflow_id"], details["workflow_type"]) if "workflow_id" in details else {}
        if "activity_type" in details:
            named |= {"activity": details["activity_type"], "attempt": details["attempt"]}
        if "update_name" in details:
            named["update"] = details["update_name"]
        for key, value in named.items():
            event.setdefault(key, value)
    event.pop("color_message", None)  # the text again, as uvicorn would show it on a terminal
    return dict(event)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _formatter(settings: Settings, *, colors: bool) -> logging.Formatter:
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=colors)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder(), _in_our_words],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redact_event,
            renderer,
        ],
    )
