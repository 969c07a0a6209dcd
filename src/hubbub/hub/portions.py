"""How much goes into one answer, in bytes."""

from collections.abc import Iterable, Sequence

from hubbub.protocol.publication import Publication, size_of

_AROUND = 160
"""Bytes around the data of a publication: the names of its fields, its offset, the ids of who published."""


def size_of_all(publications: Iterable[Publication]) -> int:
    """About how many bytes they take in an answer."""
    return sum(map(_size, publications))


def portion(publications: Sequence[Publication], most: int) -> Sequence[Publication]:
    """The first of them, as many as fit into so many bytes, and one at least, so that whoever asks on gets on."""
    size = 0
    for number, publication in enumerate(publications):
        size += _size(publication)
        if size > most and number:
            return publications[:number]
    return publications


def _size(publication: Publication) -> int:
    size = _AROUND + size_of(publication.data) + len(publication.key)
    publisher = publication.publisher
    if publisher is not None:
        size += len(publisher.user) + size_of(publisher.info or "") + size_of(publisher.channel_info or "")
    return size + sum(len(name) + len(value) for name, value in publication.tags.items())
