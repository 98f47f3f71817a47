"""The search attributes of every workflow, defined once: what lists of clusters and operations filter by.

SQL visibility allows ten keywords and three of each other type in a namespace. A start that names an attribute which
is not registered fails, so the embedded stack registers these before a worker runs.
"""

from collections.abc import Sequence

from temporalio.common import SearchAttributeKey

CLUSTER_ID = SearchAttributeKey.for_keyword("MpgClusterId")
CLUSTER = SearchAttributeKey.for_keyword("MpgCluster")
ORG = SearchAttributeKey.for_keyword("MpgOrg")
OPERATION = SearchAttributeKey.for_keyword("MpgOperation")
PHASE = SearchAttributeKey.for_keyword("MpgPhase")
PLAN = SearchAttributeKey.for_keyword("MpgPlan")
HOST = SearchAttributeKey.for_keyword("MpgHost")
OUTCOME = SearchAttributeKey.for_keyword("MpgOutcome")
ACTOR = SearchAttributeKey.for_keyword("MpgActor")
STATUS = SearchAttributeKey.for_keyword("MpgStatus")
NEEDS_OPERATOR = SearchAttributeKey.for_bool("MpgNeedsOperator")
CONDITIONS = SearchAttributeKey.for_keyword_list("MpgConditions")
"""Types of the conditions that hold; none where none does."""

KEYWORDS: tuple[SearchAttributeKey[str], ...] = (
    CLUSTER_ID,
    CLUSTER,
    ORG,
    OPERATION,
    PHASE,
    PLAN,
    HOST,
    OUTCOME,
    STATUS,
    ACTOR,
)
BOOLS: tuple[SearchAttributeKey[bool], ...] = (NEEDS_OPERATOR,)
KEYWORD_LISTS: tuple[SearchAttributeKey[Sequence[str]], ...] = (CONDITIONS,)
ALL = (*KEYWORDS, *BOOLS, *KEYWORD_LISTS)

TYPES: dict[str, str] = (
    {key.name: "Keyword" for key in KEYWORDS}
    | {key.name: "Bool" for key in BOOLS}
    | {key.name: "KeywordList" for key in KEYWORD_LISTS}
)
"""Name to type, the latter as Temporal's command line and API spell it."""
