"""What all encodings make of members and publications."""

from types import MappingProxyType

import pytest

from hubbub import Member, Publication
from hubbub.errors import WrongProtocol
from hubbub.protocol.codecs import JSON, PROTOBUF, UNIDIRECTIONAL, Codec
from hubbub.protocol.events import ClientInfo
from hubbub.protocol.events import Publication as Message
from hubbub.protocol.publication import Json
from hubbub.protocol.schema import NOTHING

CODECS = [JSON, UNIDIRECTIONAL, PROTOBUF]


@pytest.mark.parametrize("codec", CODECS)
def test_a_member_is_told_with_what_is_known_of_it(codec: Codec) -> None:
    assert codec.info(Member("anna", "c1")) == ClientInfo("anna", "c1", NOTHING, NOTHING)
    told = codec.info(Member("", "c1", Json('{"a": 1}'), Json("null")))
    assert (told.user, told.client) == ("", "c1")
    assert (bytes(told.conn_info), bytes(told.chan_info)) == (b'{"a": 1}', b"null"), "null is something"


@pytest.mark.parametrize("codec", CODECS)
def test_a_publication_is_told_with_all_that_clients_may_know(codec: Codec) -> None:
    assert of(codec, Publication(Json("1"))) == (b"1", None, 0, {}, "", False, 0)
    tags = MappingProxyType({"lang": "en"})
    published = Publication(Json("[1]"), 7, "epoch", Member("anna", "c1"), tags, True, "key", False, 9)
    assert of(codec, published) == (b"[1]", ClientInfo("anna", "c1"), 7, {"lang": "en"}, "key", False, 9)
    message = codec.publication(published)
    assert not message.delta, "that it may be sent as a delta does not make it one"
    assert message.epoch == "", "the epoch is told once, with the subscription"


def of(codec: Codec, published: Publication) -> tuple[object, ...]:
    told: Message = codec.publication(published)
    return bytes(told.data), told.info, told.offset, told.tags, told.key, told.removed, told.version


@pytest.mark.parametrize("codec", CODECS)
def test_a_removed_entry_has_no_data_unless_it_was_given_some(codec: Codec) -> None:
    assert codec.publication(Publication("", key="k", removed=True)).data is NOTHING
    assert bytes(codec.publication(Publication(Json("1"), key="k", removed=True)).data) == b"1"
    assert bytes(codec.publication(Publication("", key="k")).data) == b'""', "empty text is text"


@pytest.mark.parametrize("codec", CODECS)
def test_tags_of_two_publications_are_apart(codec: Codec) -> None:
    one, two = (codec.publication(Publication(Json("1"))) for _ in range(2))
    one.tags["a"] = "b"
    assert two.tags == {}
    assert codec.publication(Publication(Json("1"))).tags == {}


def test_bytes_that_are_no_json_cannot_be_told_in_json() -> None:
    for codec in (JSON, UNIDIRECTIONAL):
        with pytest.raises(WrongProtocol):
            codec.publication(Publication(b"\xff"))
        told = codec.info(Member("anna", "c1", b"\xff", Json("1")))
        assert (bytes(told.conn_info), bytes(told.chan_info)) == (b"", b"1"), "the info of others ends nobody's session"
    assert bytes(PROTOBUF.publication(Publication(b"\xff")).data) == b"\xff"
    assert bytes(PROTOBUF.info(Member("anna", "c1", b"\xff")).conn_info) == b"\xff"
