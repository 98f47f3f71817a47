"""Workflow modules are shared by all runs in a worker (workflows/registry.py), so they hold nothing that changes."""

import ast
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import workflows

MODULES = [
    importlib.import_module(module.name) for module in pkgutil.walk_packages(workflows.__path__, prefix="workflows.")
]
OF_THE_WORLD = {"os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time", "uuid"}
"""Modules whose answers differ from one replay to the next."""
CLOCKS = {"now", "today", "utcnow"}


def _tree(module: ModuleType) -> ast.Module:
    assert module.__file__ is not None
    return ast.parse(Path(module.__file__).read_text())


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_no_run_can_change_what_another_sees(module: ModuleType):
    changeable = {name for name, value in vars(module).items() if isinstance(value, list | dict | set | bytearray)}
    assert {name for name in changeable if not name.startswith("__")} == set()
    assert not [node for node in ast.walk(_tree(module)) if isinstance(node, ast.Global)]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_workflows_read_no_clock_and_draw_no_lots(module: ModuleType):
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & OF_THE_WORLD
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in OF_THE_WORLD
        elif isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            assert ast.unparse(node.value) == "workflow"
