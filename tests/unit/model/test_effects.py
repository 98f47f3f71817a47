"""Every effect has one implementation, where its descriptor says, and every activity one descriptor."""

import importlib
import inspect
import pkgutil

import pytest

import activities
from model.effects import EFFECTS

MODULES = [
    importlib.import_module(module.name) for module in pkgutil.walk_packages(activities.__path__, prefix="activities.")
]
DEFINITION = "__temporal_activity_definition"
"""Where ``activity.defn`` of Temporal's SDK leaves the activity's name."""


def _implementations() -> list[tuple[str, str]]:
    """Return the name of every activity in the tree, and where it is."""
    return [
        (getattr(method, DEFINITION).name, f"{module.__name__.removeprefix('activities.')}:{owner.__name__}")
        for module in MODULES
        for _, owner in inspect.getmembers(module, inspect.isclass)
        if owner.__module__ == module.__name__
        for method in list(vars(owner).values())
        if hasattr(method, DEFINITION)
    ]


def test_descriptors_and_activities_are_the_same_set():
    assert sorted(_implementations()) == sorted((effect.name, effect.implemented_by) for effect in EFFECTS)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.name)
def test_a_descriptor_leads_to_the_method_that_is_called_like_it(effect):
    module, _, owner = effect.implemented_by.partition(":")
    method = getattr(getattr(importlib.import_module(f"activities.{module}"), owner), effect.name)
    # What the activity takes and returns is what the descriptor says.
    hints = inspect.get_annotations(method, eval_str=True)
    returned = hints.pop("return")
    assert returned is effect.output
    assert list(hints.values()) == [effect.input]
