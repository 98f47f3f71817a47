"""The two bases of every model: one for what callers send, one for what we keep."""

from pydantic import BaseModel, ConfigDict

# Built at first use (defer_build): a command of the CLI uses few of the models that it imports, and starts sooner.


class Request(BaseModel):
    """What a caller sends. An unknown field is refused, because it is most likely a misspelled one."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Record(BaseModel):
    """What we keep or answer. Unknown fields are ignored, so that older code reads what newer code wrote."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
