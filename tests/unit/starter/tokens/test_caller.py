"""What several tokens allow together."""

from starter.tokens.caller import Caller
from starter.tokens.grants import Grant

READER = Grant(token_id="1", read_only=True)
WRITER = Grant(token_id="2", organizations=frozenset({"shop"}), clusters=frozenset({"a"}))


def test_any_of_the_tokens_is_enough() -> None:
    both = Caller((READER, WRITER))
    assert both.sees_cluster("personal", "b")
    assert both.sees_passwords("shop", "a")


def test_one_token_s_reach_is_not_lent_to_another_s_rights() -> None:
    both = Caller((READER, WRITER))
    assert not both.sees_passwords("personal", "b")
    writing = both.for_changes()
    assert writing is not None
    assert not writing.sees_cluster("personal", "b")
    assert not writing.may_create("shop")


def test_who_may_only_read_changes_nothing() -> None:
    assert Caller((READER,)).for_changes() is None


def test_clusters_of_all_tokens_together() -> None:
    other = Grant(token_id="3", clusters=frozenset({"b"}))
    assert Caller((WRITER, other)).clusters_of("shop") == {"a", "b"}
    assert Caller((WRITER, other)).clusters_of("personal") == {"b"}
    assert Caller((WRITER,)).clusters_of("personal") == set()
    assert Caller((WRITER, READER)).clusters_of("shop") is None
