"""Every command through the real program, against a real stack with real containers."""

import json
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from cli_program import PROGRAM, Mpg, running_stack
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from model.settings import load_settings
from starter.client.temporal import connect
from starter.stack.state import read_status
from tests.free_ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[4]
NAME = "orders"


@pytest.fixture(scope="module")
def mpg() -> Generator[Mpg]:
    with running_stack() as program:
        yield program


@pytest.fixture(scope="module")
def cluster(mpg: Mpg) -> dict[str, Any]:
    """A cluster for all tests of this module, made as a person would."""
    return mpg.done("create", "--name", NAME, "--json").json


def select(uri: str, statement: str = "select 1") -> Any:
    with psycopg.connect(uri, autocommit=True, prepare_threshold=None) as connection:
        return connection.execute(statement.encode()).fetchone()


def url(mpg: Mpg, *options: str) -> str:
    return mpg.done("url", NAME, *options).out.strip()


# --- the stack --------------------------------------------------------------------------------------------------------


def test_up_a_second_time_finds_it_up(mpg: Mpg) -> None:
    assert "was up already" in mpg.done("up", "--detach").out


def test_doctor_tells_the_settings_in_force(mpg: Mpg) -> None:
    found = mpg.done("doctor", "--json").json
    assert {check["state"] for check in found["checks"]} == {"ok"}
    assert found["settings"]["home"] == mpg.environment["MPG_HOME"]
    assert found["stack"]["state"] == "up"


def test_commands_start_quickly(mpg: Mpg, cluster: dict[str, Any]) -> None:
    """In seconds of CPU, which do not depend on what else the machine does: most of them are Python's imports."""
    assert min(cpu_seconds(mpg, "plans") for _ in range(3)) < 0.6
    assert min(cpu_seconds(mpg, "status", NAME) for _ in range(3)) < 0.9


def cpu_seconds(mpg: Mpg, *arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    mpg.done(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# --- clusters ---------------------------------------------------------------------------------------------------------


def test_created_cluster_is_described_and_serves(cluster: dict[str, Any]) -> None:
    assert (cluster["status"], cluster["plan"], cluster["replicas"]) == ("ready", "basic", 1)
    assert {node["role"] for node in cluster["nodes"]} == {"primary", "replica"}
    for uri in cluster["connection_uris"].values():
        assert select(uri) == (1,)
    assert select(cluster["connection_uris"]["read_only"], "select pg_is_in_recovery()") == (True,)
    assert cluster["credentials"]["pgbouncer_uri"] == cluster["connection_uris"]["pooled"]


def test_status_for_people_and_by_id(mpg: Mpg, cluster: dict[str, Any]) -> None:
    shown = mpg.done("status", cluster["id"]).out
    for part in (NAME, "ready", "primary", "replica", "pooled", "pooler", str(cluster["endpoints"]["direct"]["port"])):
        assert part in shown
    assert mpg.done("status", NAME, "--json").json["endpoints"] == cluster["endpoints"]


def test_list_shows_it(mpg: Mpg, cluster: dict[str, Any]) -> None:
    assert cluster["id"] in {one["id"] for one in mpg.done("list", "--json").json}
    assert NAME in mpg.done("list").out
    assert mpg.done("list", "--org", "nobody", "--json").json == []


def test_name_that_is_taken_is_refused(mpg: Mpg, cluster: dict[str, Any]) -> None:
    assert f"a cluster '{NAME}' already" in mpg.refused("create", "--name", NAME)


def test_of_two_creations_at_once_one_wins_and_destruction_forgets(mpg: Mpg, cluster: dict[str, Any]) -> None:
    processes = [
        subprocess.Popen(
            [PROGRAM, "create", "--name", "twin", "--json"],
            env=mpg.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=120) for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1], outputs
    made = json.loads(next(out for out, _ in outputs if out))
    assert mpg.done("destroy", "twin", "--yes", "--keep-backups", "0").out
    assert "There is no cluster 'twin'" in mpg.refused("status", "twin")
    assert "was destroyed" in mpg.refused("restart", made["id"])
    deadline = time.monotonic() + 10
    while made["id"] not in {one["id"] for one in mpg("list", "--deleted", "--json").json}:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "--name", "Or ders"), "Cluster name 'Or ders' is not allowed"),
        (("create", "--name", "x" * 64), "is not allowed"),
        (("create", "--name", "n", "--plan", "huge"), "There is no plan 'huge'"),
        (("create", "--name", "n", "--region", "moon"), "There is no region 'moon'"),
        (("create", "--name", "n", "--volume-size", "501"), "Storage of 501 GB is not possible"),
        (("change-plan", NAME, "huge"), "There is no plan 'huge'"),
        (("users", "create", NAME, "-u", "pg_x", "-r", "writer"), "reserved"),
        (("users", "create", NAME, "-u", "a b", "-r", "writer"), "no spaces"),
        (("databases", "create", NAME, "-n", "postgres"), "reserved"),
        (("status", "O'Reilly"), 'Cluster name "O\'Reilly" is not allowed'),
    ],
)
def test_bad_input_is_a_sentence_and_exit_2(
    mpg: Mpg, cluster: dict[str, Any], arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in mpg.refused(*arguments, code=2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("status", "nothing"), "There is no cluster 'nothing' in organization personal"),
        (("users", "delete", NAME, "-u", "fly-user", "--yes"), "cannot be deleted"),
        (("users", "set-role", NAME, "-u", "ghost", "-r", "reader"), "no user 'ghost'"),
        (("databases", "delete", NAME, "-n", "ghost", "--yes"), "no database 'ghost'"),
        (("url", NAME, "-u", "ghost"), "no user 'ghost'"),
        (("databases", "extensions", "list", NAME, "-d", "ghost"), "no database 'ghost'"),
        (("operations", "show", "no/such/operation"), "There is no operation"),
        (("create", "--name", "old", "--pg-major-version", "9"), "9"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_exit_1(
    mpg: Mpg, cluster: dict[str, Any], arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in mpg.refused(*arguments)


# --- users and databases ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["app", 'a"b', "a-b", "ä"])
def test_user_lives_its_life(mpg: Mpg, cluster: dict[str, Any], user: str) -> None:
    assert mpg.done("users", "create", NAME, "-u", user, "-r", "writer", "--json").json == {
        "name": user,
        "role": "writer",
    }
    assert f"a user '{user}' already" in mpg.refused("users", "create", NAME, "-u", user, "-r", "writer")
    uri = url(mpg, "-u", user)
    assert select(uri, "select session_user") == (user,)
    mpg.done("users", "set-role", NAME, "-u", user, "-r", "reader")
    assert {"name": user, "role": "reader"} in mpg.done("users", "list", NAME, "--json").json
    mpg.done("users", "rotate-password", NAME, "-u", user)
    assert url(mpg, "-u", user) != uri
    assert select(url(mpg, "-u", user, "--direct")) == (1,)
    with pytest.raises(psycopg.OperationalError):
        select(mpg_direct(uri, mpg))
    mpg.done("users", "delete", NAME, "-u", user, "--yes")
    assert user not in {one["name"] for one in mpg.done("users", "list", NAME, "--json").json}


def mpg_direct(pooled: str, mpg: Mpg) -> str:
    """The direct address with the user and password of *pooled*."""
    return pooled.partition("@")[0] + "@" + url(mpg, "--direct").partition("@")[2]


@pytest.mark.parametrize("database", ["shop", 'a"b', "a-b", "ä"])
def test_database_lives_its_life(mpg: Mpg, cluster: dict[str, Any], database: str) -> None:
    assert mpg.done("databases", "create", NAME, "-n", database, "--json").json == {"name": database}
    assert f"a database '{database}' already" in mpg.refused("databases", "create", NAME, "-n", database)
    assert {"name": database} in mpg.done("databases", "list", NAME, "--json").json
    uri = url(mpg, "-d", database, "--direct")
    with psycopg.connect(uri, autocommit=True) as session:
        assert session.execute("select current_database()").fetchone() == (database,)
        assert "Error: " in mpg.refused("databases", "delete", NAME, "-n", database, "--yes")
        mpg.done("databases", "delete", NAME, "-n", database, "--yes", "--force")
    assert {"name": database} not in mpg.done("databases", "list", NAME, "--json").json


def test_extensions_are_listed_enabled_and_disabled(mpg: Mpg, cluster: dict[str, Any]) -> None:
    extensions = ("databases", "extensions")
    assert "vector" in mpg.done(*extensions, "list", NAME).out
    made = mpg.done(*extensions, "enable", NAME, "vector", "--json").json
    assert made["installed"]["version"] == made["default_version"]
    found = {one["name"]: one for one in mpg.done(*extensions, "list", NAME, "-d", "fly-db", "--json").json}
    assert found["vector"]["installed"]["schema"] == "public"
    assert "Error: " in mpg.refused(*extensions, "enable", NAME, "no_such_extension")
    mpg.done(*extensions, "disable", NAME, "vector")
    assert "opt-in" in mpg("users", "--help").out


def test_opting_in_where_roles_are_in_use_changes_nothing(mpg: Mpg, cluster: dict[str, Any]) -> None:
    mpg.done("users", "opt-in-roles", NAME)


# --- access -----------------------------------------------------------------------------------------------------------


def test_url_of_each_endpoint(mpg: Mpg, cluster: dict[str, Any]) -> None:
    assert url(mpg) == url(mpg, "--pooled") == cluster["connection_uris"]["pooled"]
    assert url(mpg, "--direct") == cluster["connection_uris"]["direct"]
    assert url(mpg, "--read-only") == cluster["connection_uris"]["read_only"]
    found = mpg.done("url", NAME, "--json").json
    assert (found["user"], found["database"], found["port"]) == (
        "fly-user",
        "fly-db",
        cluster["endpoints"]["pooled"]["port"],
    )


@pytest.mark.skipif(shutil.which("psql") is None, reason="this machine has no psql")
def test_connect_is_psql_on_the_primary(mpg: Mpg, cluster: dict[str, Any]) -> None:
    ended = mpg.done("connect", NAME, "--", "-Atc", "select session_user, pg_is_in_recovery()")
    assert ended.out.strip() == "fly-user|f"
    assert mpg("connect", NAME, "--", "-c", "select nonsense").code == 1


def test_connect_without_psql_says_what_to_install(mpg: Mpg, cluster: dict[str, Any], tmp_path: Path) -> None:
    bare = Mpg(mpg.environment | {"PATH": str(tmp_path)})
    assert "There is no 'psql' on this machine." in bare.refused("connect", NAME)


def test_proxy_forwards_until_interrupted(mpg: Mpg, cluster: dict[str, Any]) -> None:
    port = free_port()
    proxy = mpg.begin("proxy", NAME, "-p", str(port), "-b", "127.0.0.1")
    try:
        assert proxy.stdout is not None
        assert f"127.0.0.1:{port}" in proxy.stdout.readline()
        direct = conninfo_to_dict(cluster["connection_uris"]["direct"])
        assert select(make_conninfo("", **(direct | {"port": port}))) == (1,)
        assert "Cannot listen" in mpg.refused("proxy", NAME, "-p", str(port))
    finally:
        proxy.send_signal(signal.SIGINT)
        _, err = proxy.communicate(timeout=10)
    assert proxy.returncode == 0
    assert "Traceback" not in err


# --- changes ----------------------------------------------------------------------------------------------------------


def test_pool_mode_there_and_back(mpg: Mpg, cluster: dict[str, Any]) -> None:
    for mode in ("session", "transaction"):
        mpg.done("set-pool-mode", NAME, mode)
        assert mpg.done("status", NAME, "--json").json["pool_mode"] == mode
        assert select(url(mpg)) == (1,)


def test_plan_changes_and_the_same_plan_restarts_nothing(mpg: Mpg, cluster: dict[str, Any]) -> None:
    changed = mpg.done("change-plan", NAME, "starter", "--json").json
    assert (changed["type"], changed["status"]) == ("ChangePlan", "done")
    after = mpg.done("status", NAME, "--json").json
    assert {node["plan"] for node in after["nodes"]} == {"starter"}
    assert after["endpoints"] == cluster["endpoints"]
    mpg.done("change-plan", NAME, "starter")
    again = mpg.done("status", NAME, "--json").json
    assert [node["timeline"] for node in again["nodes"]] == [node["timeline"] for node in after["nodes"]]
    assert select(url(mpg)) == (1,)


def test_switchover_swaps_the_roles(mpg: Mpg, cluster: dict[str, Any]) -> None:
    before = roles(mpg)
    mpg.done("switchover", NAME)
    assert roles(mpg) == {name: "replica" if role == "primary" else "primary" for name, role in before.items()}
    assert select(url(mpg), "select pg_is_in_recovery()") == (False,)


def roles(mpg: Mpg) -> dict[str, str]:
    return {node["name"]: node["role"] for node in mpg.done("status", NAME, "--json").json["nodes"]}


def test_restart_of_one_node_and_of_all(mpg: Mpg, cluster: dict[str, Any]) -> None:
    mpg.done("restart", NAME, "--node", "b")
    mpg.done("restart", NAME)
    assert {node["status"] for node in mpg.done("status", NAME, "--json").json["nodes"]} == {"running"}
    assert select(url(mpg)) == (1,)


# --- operations -------------------------------------------------------------------------------------------------------


def test_detached_operation_is_followed_by_its_id(mpg: Mpg, cluster: dict[str, Any]) -> None:
    started = mpg.done("restart", NAME, "--node", "b", "--detach").out.strip()
    assert started.startswith(f"restart/{NAME}/")
    shown = mpg.done("operations", "show", started, "--watch", "--json").json
    assert (shown["id"], shown["status"], shown["error"]) == (started, "done", None)
    assert shown["steps"]
    assert {step["status"] for step in shown["steps"]} == {"done"}
    assert shown["finished_at"] > shown["started_at"]
    assert started in mpg.done("operations", "show", started).out
    assert "has ended already" in mpg.refused("operations", "cancel", started)
    deadline = time.monotonic() + 10
    while started not in mpg.done("operations", "list", NAME).out.replace("\n", ""):
        assert time.monotonic() < deadline
    listed = mpg.done("operations", "list", NAME, "--json").json
    assert {one["cluster_id"] for one in listed} == {cluster["id"]}


def test_waiting_operation_can_be_cancelled(mpg: Mpg, cluster: dict[str, Any]) -> None:
    with psycopg.connect(url(mpg), prepare_threshold=None) as transaction:
        # The restart's switchover waits for it, and keeps the turn meanwhile.
        transaction.execute("SELECT 1")
        first = mpg.done("restart", NAME, "--detach").out.strip()
        second = mpg.done("databases", "create", NAME, "-n", "never", "--detach").out.strip()
        assert mpg.done("operations", "cancel", second, "--json").json["status"] == "cancelled"
    assert mpg.done("operations", "show", first, "--watch", "--json").json["status"] == "done"
    assert {"name": "never"} not in mpg.done("databases", "list", NAME, "--json").json


def test_interrupt_stops_waiting_and_not_the_operation(mpg: Mpg, cluster: dict[str, Any]) -> None:
    waiting = mpg.begin("restart", NAME)
    assert waiting.stderr is not None
    assert waiting.stderr.readline().startswith("… ")
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=10)
    assert (waiting.returncode, out) == (130, "")
    assert "the operation goes on" in err
    operation = err.split("operations show ")[1].split()[0]
    assert mpg.done("operations", "show", operation, "--watch", "--json").json["status"] == "done"


# --- last, because it stops the stack ---------------------------------------------------------------------------------


def at_rest(mpg: Mpg) -> Any:
    """Return the cluster's status once nothing runs on it: what an earlier test left may be under repair."""
    deadline = time.monotonic() + 60
    while True:
        status = mpg.done("status", NAME, "--json").json
        if status["status"] == "ready" and status["operation"] is None:
            return status
        assert time.monotonic() < deadline, f"It does not come to rest: {status}"
        time.sleep(0.5)


def test_cluster_serves_while_the_stack_is_down_and_nothing_is_lost(mpg: Mpg, cluster: dict[str, Any]) -> None:
    uri, before = url(mpg), at_rest(mpg)
    mpg.done("down")
    assert select(uri) == (1,)
    assert "Start the stack with 'mpg up'." in mpg.refused("status", NAME)
    assert "was not up" in mpg.done("down").out
    mpg.done("up", "--detach")
    assert at_rest(mpg) == before


def test_cluster_that_a_reboot_stopped_is_waited_for(mpg: Mpg, cluster: dict[str, Any], tmp_path: Path) -> None:
    """As after a reboot: everything was killed at once, and the unit's command is run with what the unit gives it."""
    at_rest(mpg)
    unit = mpg.done("install-service", "--print").out
    kill_stack(mpg)
    lose_all_containers(cluster["id"])
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(120)
        with subprocess.Popen(
            shlex.split(one(unit, "ExecStart=")),
            env=dict(shlex.split(each)[0].split("=", 1) for each in every(unit, "Environment="))
            | {"NOTIFY_SOCKET": str(address)},
            cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as service:  # fmt: skip
            try:
                assert manager.recv(100) == b"READY=1"
                assert service.stderr is not None
                said = [service.stderr.readline().strip() for _ in range(3)]
                # At once, and with no second try: what clients do next.
                assert [select(url(mpg, f"--{kind}")) for kind in ("direct", "pooled")] == [(1,), (1,)]
                assert said[:2] == [
                    "Ctrl-C stops it; clusters keep running.",
                    f"Waiting for cluster {NAME}, which does not serve yet.",
                ]
                assert re.fullmatch(rf"Cluster {NAME} serves, [0-9]+\.[0-9] s after the stack was up\.", said[2])
            finally:
                service.terminate()
            assert service.wait(timeout=60) == 0
    assert "Waiting" not in mpg.done("up", "--detach").err
    at_rest(mpg)


def one(unit: str, key: str) -> str:
    """Return the value of *key*, which a unit has once."""
    (value,) = every(unit, key)
    return value


def every(unit: str, key: str) -> list[str]:
    """Return all values of *key* in a unit."""
    return [line.removeprefix(key) for line in unit.splitlines() if line.startswith(key)]


def kill_stack(mpg: Mpg) -> None:
    """End every process of the stack at once, with SIGKILL."""
    status = read_status(load_settings(home=mpg.environment["MPG_HOME"]))
    assert status is not None
    processes = [each for each in (status.supervisor, *(part.process for part in status.parts)) if each]
    assert len(processes) >= 4, "supervisor, Temporal, worker, API"
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


def lose_all_containers(cluster_id: str) -> None:
    """End all containers of a cluster at once, as a reboot of the host does."""
    of_cluster = ["docker", "ps", "--quiet", "--filter", f"label=mpg.cluster={cluster_id}"]
    running = subprocess.run(of_cluster, capture_output=True, text=True, check=True).stdout.split()
    assert len(running) >= 5, "two nodes, two poolers, the endpoint"
    subprocess.run(["docker", "kill", *running], capture_output=True, check=True)


async def test_lists_of_temporal_s_page_in_the_docs_are_answered(mpg: Mpg, cluster: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "temporal-ui.md").read_text()
    views = re.findall(r"\| \[([a-z ]+)\]\((\S+)\) \| `([^`]+)` \|", page)
    assert len(views) >= 10
    client = await connect(load_settings(temporal_address=f"127.0.0.1:{mpg.environment['MPG_TEMPORAL_PORT']}"))
    found = dict[str, int]()
    for name, address, query in views:
        assert parse_qs(urlsplit(address).query) == {"query": [query]}
        found[name] = (await client.count_workflows(query)).count
    assert (found["clusters"], found["needs an operator"], found["something is wrong"]) == (1, 0, 0)
    assert found["one cluster"] > found["operations that did not do it"]
    assert found["backups"] >= 1
    metadata = await client.get_workflow_handle(f"cluster/{cluster['id']}").query("__temporal_workflow_metadata")
    assert metadata.current_details.startswith("**ready**, plan ")


def test_examples_change_the_plan_without_our_code(mpg: Mpg, cluster: dict[str, Any]) -> None:
    environment = {"TEMPORAL_ADDRESS": f"127.0.0.1:{mpg.environment['MPG_TEMPORAL_PORT']}", "PATH": os.environ["PATH"]}
    ended = subprocess.run(
        [sys.executable, ROOT / "examples" / "change_plan.py", cluster["id"], NAME, "basic"],
        env=environment, cwd="/", capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert mpg.done("status", NAME, "--json").json["plan"] == "basic"


def test_quickstart_runs_and_runs_again(mpg: Mpg) -> None:
    for _ in range(2):
        quickstart(mpg)


def test_quickstart_right_after_a_reboot_waits_for_its_cluster(mpg: Mpg) -> None:
    """Started beside the stack, before what `mpg up` waits for is there."""
    found = mpg("status", "quickstart", "--json")
    if found.code:
        quickstart(mpg)
        found = mpg.done("status", "quickstart", "--json")
    mpg.done("down")
    lose_all_containers(found.json["id"])
    start = (
        "import asyncio; from model.settings import load_settings; from starter.stack.embedded import start_detached; "
        "asyncio.run(start_detached(load_settings()))"
    )
    subprocess.run([sys.executable, "-c", start], env=mpg.environment, cwd=ROOT, check=True, timeout=120)
    assert "cluster quickstart is there from an earlier run" in quickstart(mpg)


def quickstart(mpg: Mpg) -> str:
    """Run it, and return what it said of its steps."""
    ended = subprocess.run(
        [sys.executable, "-m", "starter.quickstart"],
        env=mpg.environment, cwd=ROOT, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "of which lost: 0" in ended.stdout
    assert "postgresql://app:" in ended.stdout
    dashboard = ended.stdout.splitlines()[-1]
    assert f"http://127.0.0.1:{mpg.environment['MPG_API_PORT']}" in dashboard
    assert dashboard.endswith("mpg dashboard")
    return ended.stderr
