"""Logs carry what a reader needs and never a secret."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from model.secrets import derive_password, scram_verifier
from model.settings import Settings
from starter.logs import MASK, configure_logging, redact, redact_text

KEY = b"k" * 32
PASSWORDS = [derive_password(KEY, f"cluster{n:09d}", "app") for n in range(200)]
PASSWORD = PASSWORDS[0]
VERIFIER = scram_verifier(KEY, "cluster000000000", "app")
URI = f"postgresql://app:{PASSWORD}@127.0.0.1:20001/fly-db"


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture(params=["json", "console"])
def written(request: pytest.FixtureRequest) -> Callable[[], str]:
    stream = io.StringIO()
    configure_logging(Settings.model_validate({"log_format": request.param, "log_level": "debug"}), stream)
    return stream.getvalue


def as_json(level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(Settings.model_validate({"log_format": "json", "log_level": level}), stream)
    return stream


@pytest.mark.parametrize(
    "text", ["{}", "got {}.", "('app', '{}')", "app/{}", "x={}&y", "pw-{}", "user_{}_end", "\n{}\n"]
)
def test_derived_password_is_masked_wherever_it_stands(text: str) -> None:
    for password in PASSWORDS:
        assert password not in redact_text(text.format(password))


@pytest.mark.parametrize(
    "text",
    [
        URI,
        f"could not connect to {URI}: timeout",
        "postgres://u:short@h/db",
        "postgresql://u:p%40ss@[::1]:5432/db",
        "host=h user=u password=short dbname=d",
        "password='sh ort' host=h",
        'conninfo {"password": "short", "user": "u"}',
        "PGPASSWORD=short psql",
        "ALTER ROLE u PASSWORD 'short'",
        f"ALTER ROLE u PASSWORD '{VERIFIER}'",
        VERIFIER,
        "Authorization: Bearer short.short",
        "FlyV1 fm2_short",
        "token fm2_lJPshortAAA==",
        "MPG_TEMPORAL_API_KEY=short",
    ],
)
def test_secret_in_a_text_is_masked(text: str) -> None:
    shown = redact_text(text)
    assert MASK in shown
    for secret in ("short", "sh ort", "p%40ss", PASSWORD, VERIFIER.split("$", 2)[2]):
        assert secret not in shown


@pytest.mark.parametrize(
    "text",
    [
        "cluster 0123456789abcdef is ready",
        "change-plan/orders/5f3c9a1e2b4d6f80",
        "3f2b8c1e-8d3f-4d57-9c66-0b1f2f7f1c11",
        "mpg-0123456789abcdef-pooler-10-1",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "WorkflowExecutionAlreadyStartedError",
        "http://127.0.0.1:8233/namespaces/mpg",
        "User app was created with role writer.",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert redact_text(text) == text


def test_secret_named_by_its_key_is_masked_at_any_depth() -> None:
    event = {"a": [{"password": "x1"}, {"nested": {"apiToken": "x2", "client_secret": b"x3"}}], "password_version": 3}
    shown = redact(event)
    assert shown == {
        "a": [{"password": MASK}, {"nested": {"apiToken": MASK, "client_secret": MASK}}],
        "password_version": 3,
    }


def test_nothing_secret_passes_through_any_logger(written: Callable[[], str]) -> None:
    ours = structlog.get_logger("ours")
    ours.info("connecting", uri=URI, password="hunter2", given={"token": "hunter2"})
    ours.warning(f"verifier {VERIFIER}", arguments=("app", PASSWORD), raw=PASSWORD.encode())
    ours.info("positional %s", PASSWORD)
    logging.getLogger("temporalio.worker").warning("failed with %s", URI)
    logging.getLogger("psycopg").error("statement", extra={"statement": f"ALTER ROLE a PASSWORD '{VERIFIER}'"})
    try:
        raise RuntimeError(f"no route to {URI}")
    except RuntimeError:
        ours.exception("it failed", dsn=URI)
        logging.getLogger("asyncio").exception("it failed too")
    text = written()
    assert text.count("no route to") >= 2
    for secret in (PASSWORD, VERIFIER, "hunter2"):
        assert secret not in text


def test_every_line_is_json_with_level_time_and_logger() -> None:
    stream = as_json()
    structlog.get_logger("ours").info("begun", count=2)
    logging.getLogger("temporalio").warning("slow %d", 3)
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (ours["event"], ours["level"], ours["count"], ours["logger"]) == ("begun", "info", 2, "ours")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("slow 3", "warning", "temporalio")
    assert ours["timestamp"].endswith("Z")


def test_level_is_the_settings() -> None:
    stream = as_json("warning")
    structlog.get_logger("ours").info("quiet")
    structlog.get_logger("ours").warning("loud")
    logging.getLogger("temporalio").info("quiet")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_logger_made_before_the_configuration_uses_it() -> None:
    log = structlog.get_logger("early")
    stream = as_json()
    log.info("now")
    assert json.loads(stream.getvalue())["event"] == "now"
