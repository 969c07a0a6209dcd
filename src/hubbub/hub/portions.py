"""How much goes into one answer, in bytes. Nothing is counted as less than what is sent of it."""

from collections.abc import Iterable, Sequence

from msgspec.json import encode

from hubbub.protocol.publication import Json, Payload, Publication, size_of

_ANSWER = 512
"""Bytes of an answer besides what it is for: its flags, its position."""
_AROUND = 256
"""Bytes around the data of a publication: the names of its fields, its numbers, the id of who published."""
_AROUND_TAG = 2
"""Bytes around the name and the value of a tag."""


def room(most: int, *beside: Payload | None) -> int:
    """How many bytes of publications an answer of ``most`` bytes has room for, that has this data besides."""
    return most - _ANSWER - sum(_size_of_data(data) for data in beside if data is not None)


def size_of_all(publications: Iterable[Publication], *, quoted: bool = False) -> int:
    """How many bytes they take in an answer at most; ``quoted`` is for those who get deltas, as text of JSON."""
    return sum(_size(publication, quoted) for publication in publications)


def portion(publications: Sequence[Publication], most: int, *, quoted: bool = False) -> Sequence[Publication]:
    """The first of them, as many as fit into so many bytes, and one at least, so that whoever asks on gets on."""
    size = 0
    for number, publication in enumerate(publications):
        size += _size(publication, quoted)
        if size > most and number:
            return publications[:number]
    return publications


def _size(publication: Publication, quoted: bool) -> int:
    size = _AROUND + _size_of_data(publication.data, quoted=quoted)
    if publication.key:
        size += len(encode(publication.key))
    publisher = publication.publisher
    if publisher is not None:
        size += len(encode(publisher.user))
        size += _size_of_data(publisher.info or "") + _size_of_data(publisher.channel_info or "")
    return size + sum(_AROUND_TAG + len(encode(pair)) for pair in publication.tags.items())


def _size_of_data(data: Payload, *, quoted: bool = False) -> int:
    """Text that is no JSON yet grows: a quotation mark becomes two characters, a control character six."""
    if isinstance(data, bytes):
        return len(data)
    size = size_of(data) if isinstance(data, Json) else len(encode(data))
    if not quoted:
        return size
    text = str(data) if isinstance(data, Json) else encode(data).decode()
    return len(encode(text))
