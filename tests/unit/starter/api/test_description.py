"""What /openapi.json says of the routes: the statuses of each, the token, and examples that fit."""

from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import TypeAdapter
from temporalio.client import Client

from model.settings import load_settings
from starter.api.app import make_app
from starter.api.description import ALWAYS, SCHEME, TO_CHANGES, failures
from starter.api.description_examples import BODIES
from starter.client import MpgClient
from starter.tokens.keyring import Keyring


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    nobody = MpgClient(cast(Client, None), load_settings())  # describing asks nobody
    home: Path = tmp_path_factory.mktemp("api")
    return make_app(nobody, Keyring(home)).openapi()


def operations(described: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method, path): about for path, methods in described["paths"].items() for method, about in methods.items()}


def test_every_route_declares_its_failures_with_their_body(described: dict[str, Any]) -> None:
    for (method, path), about in operations(described).items():
        expected = {str(status) for status in failures(path, method)}
        assert expected <= set(about["responses"]), (method, path)
        assert "ErrorBody" in str(about["responses"]["404"]["content"])
        assert "HTTPValidationError" not in str(about)


def test_only_changes_conflict() -> None:
    assert set(failures("/api/v1/organizations", "get")) == set(ALWAYS)
    assert set(failures("/api/v1/postgresv2/{cluster}", "patch")) == set(ALWAYS) | set(TO_CHANGES)
    assert 410 in failures("/v1/postgres/{cluster}", "get")


def test_a_creation_fails_with_its_sentence_twice(described: dict[str, Any]) -> None:
    creation = described["paths"]["/api/v1/organizations/{org}/postgresv2"]["post"]
    assert "CreationErrorBody" in str(creation["responses"]["409"])


def test_a_token_is_needed_everywhere(described: dict[str, Any]) -> None:
    assert described["security"] == [{SCHEME: []}]
    assert described["components"]["securitySchemes"][SCHEME]["scheme"] == "bearer"


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    text = str(described)
    wanted = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted <= set(described["components"]["schemas"])


def test_every_body_has_an_example_with_fields_that_there_are(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    for (method, path), about in operations(described).items():
        if "requestBody" not in about:
            continue
        example = TypeAdapter(dict[str, object]).validate_python(BODIES[method, path])
        content = about["requestBody"]["content"]["application/json"]
        assert content["example"] == example
        schema = content["schema"]
        if "discriminator" in schema:  # one of several: the example says which
            schema = schema["discriminator"]["mapping"][example["operation"]]
        named = str(schema).split("#/components/schemas/")[1].split("'")[0]
        assert set(example) <= set(schemas[named]["properties"]), (method, path)
        assert set(schemas[named].get("required", ())) <= set(example), (method, path)


def test_every_route_says_what_success_is_and_streams_are_streams(described: dict[str, Any]) -> None:
    for route, about in operations(described).items():
        assert any(status.startswith("2") for status in about["responses"]), route
    streams = [about for (_, path), about in operations(described).items() if path.endswith("/events")]
    assert len(streams) == 2
    assert all("text/event-stream" in about["responses"]["200"]["content"] for about in streams)
