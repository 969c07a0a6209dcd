"""HTML: made of elements only, so that no text becomes any."""

from hypothesis import given
from hypothesis import strategies as st
from tests.asyncapi.reading import Reading

from hubbub.asyncapi.markup import Html, element, joined, paragraphs

TEXT = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from("<>&\"'/=` \n"), max_size=40)


@given(TEXT, TEXT)
def test_text_is_read_as_it_was_written(content: str, value: str) -> None:
    read = Reading(element("p", element("b", content), title=value))
    assert [name for name, _ in read.elements] == ["p", "b"]
    assert read.text == " ".join(content.split())
    assert read.values("title") == ([value] if value else [])


def test_attributes_may_be_words_of_python() -> None:
    assert element("p", class_="a b", id="") == '<p class="a b"></p>'


def test_what_stands_between_is_escaped_too() -> None:
    assert joined([Html("<i></i>"), "<", "b"], " & ") == "<i></i> &amp; &lt; &amp; b"


def test_prose_becomes_paragraphs() -> None:
    text = "First line\nand second, with `code`.\n\n\nAnother:\n    indented ``more <code>``\n"
    assert paragraphs(text) == (
        "<p>First line\nand second, with <code>code</code>.</p>"
        '<p class="kept">Another:\n    indented <code>more &lt;code&gt;</code></p>'
    )
    assert paragraphs(" \n ") == ""


@given(TEXT)
def test_prose_is_nothing_but_paragraphs_and_code(text: str) -> None:
    assert Reading(paragraphs(text)).names <= {"p", "code"}
