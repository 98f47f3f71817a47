"""Which containers a step is about: read off the step's input, so that a new step is covered with nothing added."""

from collections.abc import Iterable
from typing import Any

from model.base import Record
from model.names import LABEL_KIND, LABEL_NAME


def containers_of(arg: Record, containers: Iterable[Any]) -> list[Any]:
    """Return those of *containers* (docker-py's) that *arg* names or addresses; all of them if it does neither."""
    words = set(_words(arg.model_dump(mode="json")))
    there = list(containers)
    named = [each for each in there if words & {each.name, each.labels.get(LABEL_NAME), *_addresses(each)}]
    # The endpoint is in every input that also names poolers; where others are named as well, they are the target.
    others = [each for each in named if each.labels.get(LABEL_KIND) != "endpoint"]
    return others or named or there


def _words(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _words(each)
    elif isinstance(value, list):
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _words(each)


def _addresses(container: Any) -> set[str]:
    networks = container.attrs["NetworkSettings"]["Networks"] or {}
    return {network["IPAddress"] for network in networks.values() if network["IPAddress"]}
