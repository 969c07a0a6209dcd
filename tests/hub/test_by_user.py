"""Connections by their user."""

from hubbub.hub.by_user import ByUser


def test_a_users_connections_are_found_in_the_order_in_which_they_came() -> None:
    ones: ByUser[str] = ByUser()
    for user, one in (("anna", "b"), ("bob", "x"), ("anna", "a"), ("anna", "b")):
        ones.add(user, one)
    assert (ones.of("anna"), ones.count("anna")) == (("b", "a"), 2)
    ones.discard("anna", "b")
    ones.discard("anna", "b")
    ones.discard("anna", "x")
    assert (ones.of("anna"), ones.of("bob")) == (("a",), ("x",))


def test_who_has_left_and_who_has_no_user_costs_nothing() -> None:
    ones: ByUser[str] = ByUser()
    ones.add("", "nobody")
    ones.add("anna", "a")
    ones.discard("anna", "a")
    ones.discard("", "nobody")
    assert (ones.of(""), ones.count("anna"), len(ones)) == ((), 0, 0)
