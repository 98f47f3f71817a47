"""What was wrong with an input, as one sentence: the same one on the caller's side and in the worker."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from model.errors import InvalidInput

M = TypeVar("M", bound=BaseModel)


def sentence(error: ValidationError) -> str:
    """Return one sentence about the first thing that *error* found.

    Our own checks speak for themselves; pydantic's kinds are put in words here, with the allowed values where it
    knows them.
    """
    detail = error.errors(include_url=False, include_context=True)[0]
    return in_words(detail, ".".join(str(part) for part in detail["loc"]) or error.title)


def in_words(detail: ErrorDetails, field: str) -> str:
    """Return one sentence about what is wrong with *field*."""
    if detail["type"] == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    return _in_words(detail, field)


def _in_words(detail: ErrorDetails, field: str) -> str:
    context, given = detail.get("ctx", {}), detail["input"]
    match detail["type"]:
        case "enum":
            allowed = str(context["expected"]).replace("'", "")
            return f"{_capitalized(field)} {given!r} is not one: it is {allowed}."
        case "missing":
            return f"The request lacks {field!r}."
        case "extra_forbidden":
            return f"The request has an unknown field {field!r}."
        case "string_too_short" if context.get("min_length") == 1:
            return f"{_capitalized(field)} must not be empty."
        case _:
            said = detail["msg"]
            return f"{_capitalized(field)} {given!r} is not possible: {said[:1].lower()}{said[1:]}."


def _capitalized(field: str) -> str:
    words = field.removesuffix("_name").replace("_", " ")
    return words[:1].upper() + words[1:]


def validated(model: type[M], **fields: object) -> M:
    """Return *model* made of *fields*. Raises :class:`InvalidInput` with :func:`sentence` when they do not fit."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise InvalidInput(sentence(error)) from None


def checked(check: Callable[[str], str], value: str) -> str:
    """Return *value* if *check* of model/names.py lets it pass. Raises :class:`InvalidInput` with its sentence."""
    try:
        return check(value)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
