"""Prometheus as a part of the embedded stack: ``python -m starter.stack.prometheus`` writes its file and becomes it."""

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from model.errors import MpgError, StackDown
from model.settings import LOOPBACK, Settings, load_settings
from starter.prerequisites.prometheus_binary import find_prometheus
from starter.stack.parts import refuse_taken

JOB = "mpg-worker"
RULES = Path(__file__).resolve().parent.parent.parent / "deploy" / "alerts.yml"
SETTLED_SECONDS = 15
"""How often it asks where workers read nothing by themselves."""


def directory(settings: Settings) -> Path:
    """Return the directory of its file and its data."""
    return settings.home / "prometheus"


def configuration(settings: Settings) -> dict[str, Any]:
    """Return the content of prometheus.yml: it asks the workers that announce themselves, and judges by our rules."""
    every = f"{max(round(settings.metrics_seconds), 1) if settings.metrics_seconds else SETTLED_SECONDS}s"
    targets = {"files": [str(settings.metrics_targets_dir / "*.json")], "refresh_interval": every}
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(RULES)] if RULES.exists() else [],
        "scrape_configs": [{"job_name": JOB, "file_sd_configs": [targets]}],
    }


def command(settings: Settings, program: Path) -> list[str]:
    """Return how *program* is started: on loopback only."""
    place = directory(settings)
    return [
        str(program),
        f"--config.file={place / 'prometheus.yml'}",
        f"--storage.tsdb.path={place / 'data'}",
        f"--storage.tsdb.retention.time={settings.metrics_days}d",
        f"--web.listen-address={LOOPBACK}:{settings.prometheus_port}",
        "--log.level=warn",
    ]


def become(settings: Settings) -> NoReturn:
    """Write the file and become Prometheus. Raises ``MpgError`` where that cannot be."""
    program = find_prometheus(settings)
    if program is None:
        raise StackDown("There is no 'prometheus' program.", remedy="Run: mpg doctor --fix")
    remedy = "Set MPG_PROMETHEUS_PORT to a free port, or to 0, or stop what listens there."
    refuse_taken(settings.prometheus_port, remedy)
    place = directory(settings)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    # JSON is YAML.
    (place / "prometheus.yml").write_text(json.dumps(configuration(settings), indent=1))
    os.execv(program, command(settings, program))  # noqa: S606


def main() -> int:
    """Become Prometheus; return the exit code where that cannot be."""
    try:
        become(load_settings())
    except MpgError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
