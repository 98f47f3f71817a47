"""What a query may cost, decided before it is run: how deep it is and how many fields it comes to, fragments spread."""

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

MOST_TOKENS = 2000
DEEPEST = 12
"""Introspection, the deepest thing that anybody asks, has 13 levels, and is not needed by Fly's client."""
MOST_FIELDS = 500
"""Of an answer's shape: Fly's longest query has about 40. Aliases count each."""


class TooCostly(ValueError):
    """The query is over a bound; the sentence says over which."""


def check_cost(document: DocumentNode) -> None:
    """Return when *document*, which must be valid, is within the bounds. Raises :class:`TooCostly`."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            _Count(fragments).add(definition.selection_set, 1)


class _Count:
    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._fields = 0

    def add(self, selected: SelectionSetNode | None, depth: int) -> None:
        if selected is None:
            return
        if depth > DEEPEST:
            raise TooCostly(f"The query is deeper than {DEEPEST} levels.")
        for selection in selected.selections:
            # Spreads count too, so that fragments of nothing but fragments end as well.
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise TooCostly(f"The query asks for more than {MOST_FIELDS} fields.")
            if isinstance(selection, FieldNode):
                self.add(selection.selection_set, depth + 1)
            elif isinstance(selection, InlineFragmentNode):
                self.add(selection.selection_set, depth)
            elif isinstance(selection, FragmentSpreadNode):
                self.add(self._fragments[selection.name.value].selection_set, depth)
