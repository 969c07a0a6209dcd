"""Tags filters: which tags match which filter, and which filters there are none of."""

import operator
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.protocol.filters import Filter


@dataclass
class Node:
    """A filter as it was sent."""

    op: str = ""
    key: str = ""
    cmp: str = ""
    val: str = ""
    vals: list[str] = field(default_factory=list)
    nodes: "list[Node]" = field(default_factory=list)


def tag(key: str, cmp: str, *values: str) -> Node:
    """The comparison of one tag, with its values where it has them."""
    if cmp in ("in", "nin"):
        return Node(key=key, cmp=cmp, vals=list(values))
    return Node(key=key, cmp=cmp, val="".join(values))


def both(*nodes: Node) -> Node:
    return Node(op="and", nodes=list(nodes))


def either(*nodes: Node) -> Node:
    return Node(op="or", nodes=list(nodes))


def no(*nodes: Node) -> Node:
    return Node(op="not", nodes=list(nodes))


def matches(node: Node, tags: Mapping[str, str]) -> bool:
    return Filter.parse(node).matches(tags)


def nested(levels: int) -> Node:
    return reduce(lambda node, _: no(node), range(levels - 1), tag("a", "ex"))


COMPARISONS = ["eq", "neq", "in", "nin", "ex", "nex", "sw", "ew", "ct", "gt", "gte", "lt", "lte"]
BARE = {"ex", "nex"}
YES = tag("here", "ex")
NEVER = tag("gone", "ex")
TAGS = {"here": ""}

# --- comparisons ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cmp", "values", "matching", "other"),
    [
        ("eq", ["en"], ["en"], ["", "EN", "en ", "eng"]),
        ("neq", ["en"], ["", "EN", "fr"], ["en"]),
        ("in", ["en", "fr"], ["en", "fr"], ["", "de", "enfr"]),
        ("in", [""], [""], ["en"]),
        ("nin", ["en", "fr"], ["", "de"], ["en", "fr"]),
        ("ex", [], ["", "en"], []),
        ("nex", [], [], ["", "en"]),
        ("sw", ["en"], ["en", "en-GB"], ["", "e", "EN-GB", "den"]),
        ("ew", ["en"], ["en", "den"], ["", "n", "en-GB"]),
        ("ct", ["en"], ["en", "dent", "den", "ent"], ["", "e n", "ne"]),
        ("gt", ["10"], ["10.1", "100", "+11"], ["10", "10.0", "9", "-11"]),
        ("gte", ["10"], ["10", "10.0", "010", "11"], ["9.9999999999999999999", "9"]),
        ("lt", ["10"], ["9", "9.9999999999999999999", "-11"], ["10", "10.0", "10.1", "100"]),
        ("lte", ["10"], ["10", "10.0", "+10", "9", "-10"], ["10.0000000000000000001", "100"]),
        ("gte", ["0"], ["-0", "0.0"], ["-0.1"]),
    ],
)
def test_each_comparison_matches_what_it_says(
    cmp: str, values: list[str], matching: list[str], other: list[str]
) -> None:
    compared = Filter.parse(tag("lang", cmp, *values))
    assert [value for value in matching + other if compared.matches({"lang": value})] == matching
    assert not any(compared.matches({"lang": value}) for value in other)


@pytest.mark.parametrize("cmp", COMPARISONS)
def test_without_the_tag_only_the_negative_comparisons_match(cmp: str) -> None:
    values = [] if cmp in BARE else ["1"]
    assert matches(tag("lang", cmp, *values), {"other": "1"}) is (cmp in {"neq", "nin", "nex"})


def test_a_missing_tag_is_not_an_empty_one() -> None:
    assert not matches(tag("lang", "in", ""), {})
    assert matches(tag("lang", "nin", ""), {})


@pytest.mark.parametrize("cmp", ["gt", "gte", "lt", "lte"])
@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "ten", "1 0", " 10", "10 ", "10\n", "0x10", "1_0", "1,5", "1.2.3"),
        *("+", "-", ".", ".5", "5.", "-.5", "+-5", "--5"),
        *("NaN", "sNaN", "nan", "Infinity", "-Infinity", "inf"),
        *("1e3", "1E3", "1e1000000000", "1e-1000000000", "٣"),
        *("1" * 201, "1." + "0" * 20),
    ],
)
def test_what_is_no_number_matches_no_comparison_of_numbers(cmp: str, text: str) -> None:
    assert not matches(tag("price", cmp, "0"), {"price": text})
    assert not matches(tag("price", cmp, text or "?"), {"price": "0"})
    assert matches(no(tag("price", cmp, "0")), {"price": text})


@pytest.mark.parametrize("text", ["9" * 200, "+" + "9" * 199, "9" * 180 + "." + "9" * 19])
def test_long_numbers_are_compared_to_the_last_digit(text: str) -> None:
    below = text[:-1] + "8"
    assert matches(tag("price", "gt", below), {"price": text})
    assert matches(tag("price", "lt", text), {"price": below})
    assert matches(tag("price", "gte", text), {"price": text})
    assert not matches(tag("price", "lt", text), {"price": text})


NUMBERS = st.from_regex(r"\A[+-]?[0-9]{1,40}(\.[0-9]{1,19})?\Z")
TESTS: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@given(st.sampled_from(list(TESTS)), NUMBERS, NUMBERS)
def test_numbers_are_compared_exactly(cmp: str, value: str, bound: str) -> None:
    assert matches(tag("price", cmp, bound), {"price": value}) is TESTS[cmp](Fraction(value), Fraction(bound))


@given(st.sampled_from(["gt", "gte", "lt", "lte"]), st.text(), st.text(min_size=1))
def test_no_text_makes_a_comparison_of_numbers_fail(cmp: str, value: str, bound: str) -> None:
    assert matches(tag("price", cmp, bound), {"price": value}) in (True, False)


# --- operations -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (both(YES), True),
        (both(NEVER), False),
        (both(YES, YES), True),
        (both(YES, NEVER), False),
        (both(NEVER, YES), False),
        (either(YES), True),
        (either(NEVER), False),
        (either(NEVER, YES), True),
        (either(YES, NEVER), True),
        (either(NEVER, NEVER), False),
        (no(YES), False),
        (no(NEVER), True),
        (no(no(YES)), True),
        (both(either(NEVER, YES), no(both(YES, NEVER))), True),
        (either(both(YES, NEVER), no(either(NEVER, YES))), False),
    ],
)
def test_operations_combine_what_is_below_them(node: Node, *, expected: bool) -> None:
    assert matches(node, TAGS) is expected


def test_the_filter_of_the_protocol_description_matches_what_it_describes() -> None:
    node = both(tag("lang", "eq", "en"), no(tag("level", "in", "debug", "trace")), tag("price", "gte", "10.5"))
    assert matches(node, {"lang": "en", "price": "10.50"})
    assert matches(node, {"lang": "en", "price": "11", "level": "info"})
    assert not matches(node, {"lang": "en", "price": "11", "level": "debug"})
    assert not matches(node, {"lang": "fr", "price": "11"})
    assert not matches(node, {"lang": "en", "price": "10.4"})
    assert not matches(node, {})


# --- a filter is a value ----------------------------------------------------------------------------


def test_filters_that_were_sent_alike_are_one_key_of_a_dict() -> None:
    def node(value: str) -> Node:
        return both(either(tag("a", "gt", value), tag("b", "sw", "x")), no(tag("c", "in", "y", "z")), tag("d", "ex"))

    assert len({Filter.parse(node("1")), Filter.parse(node("1"))}) == 1
    assert len({Filter.parse(node("1")), Filter.parse(node("2"))}) == 2


def all_different() -> list[Node]:
    values = {"in": ["1", "2"], "nin": ["1", "2"], "ex": [], "nex": []}
    leaves = [tag("a", cmp, *values.get(cmp, ["1"])) for cmp in COMPARISONS]
    return [*leaves, both(YES), either(YES), no(YES), tag("b", "eq", "1"), tag("a", "eq", "2"), tag("a", "gt", "2")]


def test_filters_that_differ_are_not_equal() -> None:
    filters = [Filter.parse(node) for node in all_different()]
    assert len(set(filters)) == len(filters)


@pytest.mark.parametrize("node", all_different(), ids=str)
def test_a_filter_cannot_be_changed(node: Node) -> None:
    parsed = Filter.parse(node)
    fields = vars(type(parsed))["__slots__"]
    assert fields
    for name in fields:
        with pytest.raises(AttributeError):
            setattr(parsed, name, "x")


def test_numbers_that_anyone_knows_to_have_one_hash_make_filters_of_many() -> None:
    period = sys.hash_info.modulus  # of the hash of numbers
    filters = [Filter.parse(tag("a", "gt", str(1 + count * period))) for count in range(100)]
    assert len({hash(filter.value) for filter in filters}) == 1  # type: ignore[attr-defined]
    assert len({hash(filter) for filter in filters}) > 90


def test_numbers_that_are_equal_make_equal_filters() -> None:
    one, same = Filter.parse(tag("a", "gt", "1")), Filter.parse(tag("a", "gt", "+1.00"))
    assert one == same
    assert hash(one) == hash(same)


def test_changing_what_was_sent_does_not_change_the_filter() -> None:
    values = tag("a", "in", "1")
    node = both(values)
    parsed = Filter.parse(node)
    values.vals.append("2")
    node.nodes.append(NEVER)
    assert parsed.matches({"a": "1"})
    assert not parsed.matches({"a": "2"})


# --- what is no filter ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (Node(), "no comparison is called ''"),
        (Node(op="xor", nodes=[YES]), "no operation is called 'xor': give 'and', 'or' or 'not'"),
        (Node(op="AND", nodes=[YES]), "no operation is called 'AND'"),
        (both(), "the operation 'and' needs at least one node"),
        (either(), "the operation 'or' needs at least one node"),
        (no(), "the operation 'not' needs exactly one node in 'nodes', not 0"),
        (no(YES, YES), "the operation 'not' needs exactly one node in 'nodes', not 2"),
        (tag("a", "like", "x"), "no comparison is called 'like': give one of eq, neq, in, nin, ex, nex, sw, ew, ct"),
        (tag("a", "", "x"), "no comparison is called ''"),
        (Node(key="a", cmp="eq", val="x", vals=["y"]), "the comparison 'eq' has no use for 'vals'"),
        (Node(key="a", cmp="in", vals=["x"], val="y"), "the comparison 'in' has no use for 'val'"),
        (Node(key="a", cmp="in", val="y"), "the comparison 'in' has no use for 'val'"),
        (tag("a", "ex", "x"), "the comparison 'ex' has no use for 'val'"),
        (Node(key="a", cmp="nex", vals=["x"]), "the comparison 'nex' has no use for 'vals'"),
        (both(YES, either(NEVER, no(tag("a", "eq")))), "the comparison 'eq' needs 'val', and it may not be empty"),
        (nested(33), "a filter has at most 32 levels"),
        (both(*[YES] * 256), "a filter has at most 256 nodes"),
        (both(*[both(*[YES] * 15)] * 16), "a filter has at most 256 nodes"),
        (tag("a", "in", *map(str, range(513))), "a filter has at most 512 values in all 'vals' together"),
        (both(*[tag("a", "in", *map(str, range(64)))] * 9), "a filter has at most 512 values"),
        (tag("a", "eq", "x" * 16384), "a filter has at most 16384 bytes of names and values"),
        (tag("a", "eq", "é" * 8192), "a filter has at most 16384 bytes"),
        (tag("x" * 16385, "ex"), "a filter has at most 16384 bytes"),
        (both(tag("a", "in", "x" * 9000), tag("b", "eq", "x" * 9000)), "a filter has at most 16384 bytes"),
    ],
)
def test_an_invalid_filter_is_refused_with_a_sentence(node: Node, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Filter.parse(node)


@pytest.mark.parametrize("cmp", COMPARISONS)
def test_every_comparison_needs_a_key(cmp: str) -> None:
    with pytest.raises(ValueError, match=f"the comparison '{cmp}' needs the name of a tag in 'key'"):
        Filter.parse(tag("", cmp, "x"))


@pytest.mark.parametrize("cmp", [cmp for cmp in COMPARISONS if cmp not in BARE])
def test_every_comparison_with_something_needs_it(cmp: str) -> None:
    with pytest.raises(ValueError, match=f"the comparison '{cmp}' needs 'vals?', and it may not be empty"):
        Filter.parse(tag("a", cmp))


def test_a_sentence_does_not_repeat_all_that_was_sent() -> None:
    for node in (Node(op="x" * 10_000), Node(cmp="x" * 10_000)):
        with pytest.raises(ValueError, match="is called 'xxx") as refused:
            Filter.parse(node)
        assert len(str(refused.value)) < 200


def test_a_filter_may_be_as_large_as_the_bounds_say() -> None:
    assert matches(nested(32), {}) is True
    assert matches(both(*[YES] * 255), TAGS)
    assert matches(both(*[both(*[YES] * 14)] * 17), TAGS)


LEAVES = st.builds(Node, key=st.text(max_size=2), cmp=st.sampled_from([*COMPARISONS, ""]), val=st.text(max_size=2))
NODES = st.recursive(
    st.one_of(LEAVES, st.builds(tag, st.sampled_from("ab"), st.sampled_from(["in", "nin"]), st.sampled_from("xy"))),
    lambda below: st.builds(Node, op=st.sampled_from(["and", "or", "not", "nor"]), nodes=st.lists(below, max_size=3)),
)


@given(NODES, st.dictionaries(st.sampled_from("abc"), st.text(max_size=2)))
def test_what_is_not_refused_always_answers(node: Node, tags: dict[str, str]) -> None:
    try:
        parsed = Filter.parse(node)
    except ValueError:
        return
    assert parsed.matches(tags) is (not Filter.parse(no(node)).matches(tags))
    assert parsed == Filter.parse(node)
