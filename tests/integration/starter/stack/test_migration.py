"""From the embedded stack to the production stack: no client notices, and nothing but past operations is lost."""

import asyncio
import json
import socket
import tomllib
from pathlib import Path

import httpx
import psycopg
import pytest
from cli_program import Mpg, running_stack
from production import described_stack

from model.backups import BackupPolicy
from model.settings import LOOPBACK, load_settings
from starter.client import MpgClient
from starter.quickstart.counting_writer import CREATE_TABLE, CountingWriter

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

METRICS = ("MPG_METRICS_PORT", "MPG_PROMETHEUS_PORT")
SAME = ("MPG_TEMPORAL_PORT", "MPG_TEMPORAL_UI_PORT", "MPG_API_PORT", "MPG_PORT_RANGE", "MPG_SUBNET_POOL")
SECRET = "a setting that is a secret"
POLICY = ("--full", "10 3 * * 6", "--keep-days", "9", "--drill", "off")


async def test_clusters_are_moved_and_no_client_notices(tmp_path: Path) -> None:
    with described_stack() as production, running_stack(MPG_BACKUP_S3_KEY=SECRET) as program:
        environment = {**production.environment, **{name: program.environment[name] for name in SAME}}
        production.environment = environment
        program.environment |= {name: environment[name] for name in environment if name.startswith("COMPOSE_")}
        given = ("MPG_STACK_", "MPG_METRICS_", "MPG_PROMETHEUS_")
        program.environment |= {name: environment[name] for name in environment if name.startswith(given)}
        files = [f"--file={file}" for file in production.files]
        assert "There is no file" in program.refused("migrate-stack", "--yes", "--file=nowhere.yml", code=2)

        cluster = program.done("create", "--name", "shop", "--plan", "basic", "--json").json["id"]
        program.done("users", "create", "shop", "--username", "ann", "--role", "reader")
        program.done("backup", "schedule", "shop", *POLICY)
        token = program.done("auth", "token").out.strip()
        uri, ann = (program.done("url", "shop", *more).out.strip() for more in ((), ("-u", "ann")))
        with psycopg.connect(uri, autocommit=True, prepare_threshold=None) as session:
            session.execute(CREATE_TABLE)

        program.environment |= {name: environment[name] for name in METRICS}
        async with CountingWriter(uri, "moved") as writer:
            with socket.create_server((LOOPBACK, 0)) as holder:
                clash = tmp_path / "clash.json"
                port = f"{LOOPBACK}:{holder.getsockname()[1]}:8080"
                clash.write_text(json.dumps({"services": {"temporal-ui": {"ports": [port]}}}))
                arguments = ("migrate-stack", "--yes", *files, f"--file={clash}")
                said = await asyncio.to_thread(program.refused, *arguments)
            assert "address already in use" in said
            assert program.done("list", "--json").json[0]["id"] == cluster, "the embedded stack is up again"
            moved = await asyncio.to_thread(program.done, "migrate-stack", "--yes", "--json", *files, timeout=300)
        report = await writer.report()
        assert moved.json["clusters"] == ["shop"]
        assert (report.errors, report.lost) == (0, 0)
        assert report.acknowledged > 0

        found = json.loads(production.mpg("list", "--json"))
        assert [(each["id"], each["status"]) for each in found] == [(cluster, "ready")]
        assert production.mpg("url", "shop", "-u", "ann").strip() == ann
        address = f"{LOOPBACK}:{environment['MPG_TEMPORAL_PORT']}"
        async with MpgClient.connect(load_settings(temporal_address=address)) as mpg:
            spec = (await mpg.view("shop")).state.spec
            assert spec.backups is not None
            assert spec.backups.policy == BackupPolicy(full="10 3 * * 6", keep_days=9, drill="")
            await (await mpg.switchover("shop")).result()
        url = f"http://{LOOPBACK}:{environment['MPG_API_PORT']}/api/v1/organizations"
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
            answer = await client.get(url)
        assert answer.status_code == 200, "tokens of before are good"

        assert "are the production stack's" in program.refused("up", "--detach")
        assert "were moved already" in program.refused("migrate-stack", "--yes", *files)
        # As one that was cut off in its last part goes on.
        plan = {"clusters": [{"id": each, "name": each, "org": "personal"} for each in (cluster, "no-more")]}
        _plan_of(program).write_text(json.dumps(plan | {"handed_over": True}))
        resumed = program.done("migrate-stack", "--yes", "--json", *files).json
        assert resumed["clusters"] == [cluster]
        assert "no containers" in resumed["left"][0]
        for command in (("auth", "token"), ("auth", "revoke", "x"), ("dashboard", "--no-browser")):
            assert "docker compose exec api" in program.refused(*command)
        set_before = tomllib.loads(production.compose("exec", "-T", "worker", "cat", "/var/lib/mpg/config.toml"))
        assert set_before["subnet_pool"] == program.environment["MPG_SUBNET_POOL"]
        assert set_before["backup_s3_key"] == SECRET
        production.mpg("destroy", "shop", "--yes", "--keep-backups", "0")
        program.environment["MPG_TEMPORAL_ADDRESS"] = address  # whom its own end asks for what is left
        assert not _plan_of(program).exists()


def _plan_of(program: Mpg) -> Path:
    return Path(program.environment["MPG_HOME"]) / "migration.json"
