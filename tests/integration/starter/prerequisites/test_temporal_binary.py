"""Where the ``temporal`` program comes from, with the SDK's real download: from a stand-in, past it, and past none."""

import os
import socket
import time
from pathlib import Path

import pytest
from download_site import Manner, download_site

from model.settings import Settings, load_settings
from starter.prerequisites import temporal_binary
from starter.prerequisites.command import CommandFailed
from starter.prerequisites.result import Missing, OnProgress
from starter.prerequisites.temporal_binary import VERSION, ensure_temporal, find_temporal

pytestmark = pytest.mark.integration

ENOUGH_S = 60
"""Until a build begins: a few seconds on an idle machine, and nothing like the minutes that a hung connection takes."""


@pytest.fixture
def real() -> Path:
    found = find_temporal(load_settings())
    assert found is not None, "Run: python -m starter.prerequisites"
    return found


@pytest.fixture
def bare(tmp_path: Path, real: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A machine that has no ``temporal``, and no network but what a test gives it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for name in ("GOBIN", "GOPATH"):
        monkeypatch.setenv(name, str(tmp_path / "go"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    settings = load_settings(home=tmp_path / "home")
    assert find_temporal(settings) is None
    return settings


def wrapper(real: Path) -> bytes:
    """A program that is *real*, and large enough to come in pieces."""
    return f'#!/bin/sh\nexec {real} "$@"\n'.encode() + b"#" * 3_000_000


def refused_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def until_the_build(
    settings: Settings, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[float, list[str]]:
    """Get the program; return how long it took until it was to be built, and what was said until then."""
    began: list[float] = []

    def build(_directory: Path, _on_progress: OnProgress) -> Path:
        began.append(time.monotonic())
        raise CommandFailed("Go is not installed")

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(temporal_binary, "_build", build)
    lines: list[str] = []
    start = time.monotonic()
    with pytest.raises(Missing) as caught:
        ensure_temporal(settings, lines.append)
    assert "the download failed" in caught.value.detail
    assert "Go is not installed" in caught.value.detail
    assert not list((Path(os.environ["XDG_CACHE_HOME"]) / "mpg" / "bin").iterdir())
    print(f"the build began after {began[0] - start:.1f} s:", *lines, sep="\n  ")
    return began[0] - start, lines


def test_download_that_is_refused_leads_to_the_build_at_once(bare: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = refused_port()
    seconds, lines = until_the_build(bare, {"HTTPS_PROXY": proxy, "https_proxy": proxy}, monkeypatch)
    assert seconds < ENOUGH_S
    assert f"download {VERSION}" in lines[0]
    assert lines[-2].startswith("the download failed: ")


@pytest.mark.parametrize("manner", [Manner.SILENT, Manner.STALLS])
def test_download_that_hangs_leads_to_the_build_within_its_bound(
    bare: Settings, tmp_path: Path, real: Path, monkeypatch: pytest.MonkeyPatch, manner: Manner
) -> None:
    with download_site(tmp_path, wrapper(real), manner) as site:
        seconds, lines = until_the_build(bare, site.environment, monkeypatch)
    assert site.asked, "the SDK came to ask"
    assert seconds < ENOUGH_S
    assert "the download failed: nothing came for 5 s" in lines


def test_download_is_of_the_pinned_version_tried_out_and_kept(
    bare: Settings, tmp_path: Path, real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with download_site(tmp_path, wrapper(real), Manner.SERVES) as site:
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        got = Path(ensure_temporal(bare, print))
    assert any(line.startswith(f"GET /cli/{VERSION}?") for line in site.asked)
    assert got.read_bytes() == wrapper(real)
    assert [each.name for each in got.parent.iterdir()] == ["temporal"]
    assert find_temporal(bare) == got


def test_program_that_does_not_take_the_stack_s_options_is_not_kept(
    bare: Settings, tmp_path: Path, real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = f'#!/bin/sh\ncase "$*" in *--sqlite-pragma*) echo "Error: unknown flag"; exit 1;; esac\nexec {real} "$@"\n'
    with download_site(tmp_path, older.encode(), Manner.SERVES) as site:
        until_the_build(bare, site.environment, monkeypatch)
