"""How the embedded Temporal server is started, wherever it listens."""

from collections.abc import Mapping, Sequence

from model import search_attributes

TEMPORAL_DYNAMIC_CONFIG = {
    # The defaults hand out each task on a 50 ms grid and fire timers up to a second late.
    "history.transferProcessorMaxPollRPS": "5000",
    "history.timerProcessorMaxPollRPS": "5000",
    "history.visibilityProcessorMaxPollRPS": "5000",
    "history.timerProcessorMaxTimeShift": '"10ms"',
    # While a workflow's task lasts, as that of a step in SQL, the default lets one query wait and refuses all others.
    "history.MaxBufferedQueryCount": "1000",
}
"""Always set on the server; values are JSON."""

_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")


def always_set() -> list[str]:
    """Return the flags that every server gets, wherever it listens: what a ``temporal`` must understand to be used."""
    return flags(
        {
            "--dynamic-config-value": [f"{key}={value}" for key, value in TEMPORAL_DYNAMIC_CONFIG.items()],
            "--search-attribute": [f"{name}={kind}" for name, kind in search_attributes.TYPES.items()],
            "--sqlite-pragma": list(_PRAGMAS),
        }
    )


def flags(options: Mapping[str, Sequence[str]]) -> list[str]:
    """Return command-line flags: an option once for each of its values."""
    return [text for option, values in options.items() for value in values for text in (option, value)]
