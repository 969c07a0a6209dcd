"""Who may connect: pages of the server's own origin and of the listed ones, and not too many."""

import pytest

from hubbub import Settings
from hubbub.errors import OriginRefused, TooManyConnections, TooManyHeaders
from hubbub.hub.admission import Admission, ensure_few_headers, ensure_not_cross_site, ensure_origin_allowed

APP = "https://app.example"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        # No browser's page.
        (None, "app.example", ()),
        (None, None, ()),
        # The server's own.
        ("http://app.example", "app.example", ()),
        ("https://app.example", "app.example", ()),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", ()),
        ("http://localhost:8000", "localhost:8000", ()),
        # A default port may be written out on either side.
        ("http://app.example", "app.example:80", ()),
        ("http://app.example:80", "app.example", ()),
        ("https://app.example", "app.example:443", ()),
        ("https://app.example:443", "app.example", ()),
        ("ws://app.example", "app.example:80", ()),
        ("wss://app.example", "app.example:443", ()),
        # Names have no case.
        ("HTTPS://App.Example", "app.EXAMPLE", ()),
        # IPv6.
        ("http://[::1]:8000", "[::1]:8000", ()),
        ("http://[::1]", "[::1]", ()),
        ("http://[::1]", "[::1]:80", ()),
        ("http://[2001:DB8::80]", "[2001:db8::80]", ()),
        # Listed.
        (APP, "api.example", (APP,)),
        (APP, "api.example", ("https://other.example", APP)),
        ("https://APP.example", "api.example", (APP,)),
        ("https://app.example:8443", "api.example", ("https://app.example:8443",)),
        (APP, None, (APP,)),
        # Subdomains of one.
        ("https://shop.app.example", "api.example", ("https://*.app.example",)),
        ("https://a.b.APP.example", "api.example", (APP, "https://*.app.example")),
        ("http://shop.localhost:3000", "api.example", ("http://*.localhost:3000",)),
        # Pages without a host, and names in Unicode, which browsers send in ASCII.
        ("null", "app.example", ("null",)),
        ("file://", "app.example", ("file://",)),
        ("capacitor://localhost", "app.example", ("capacitor://localhost",)),
        ("https://xn--bcher-kva.example", "app.example", ("https://bücher.example",)),
        ("https://shop.xn--bcher-kva.example", "app.example", ("https://*.bücher.example",)),
        ("https://app.example", "api.example", ("https://app.example:443",)),
        # Any.
        ("https://evil.example", "app.example", ("*",)),
        ("null", "app.example", ("*",)),
        ("file://", "app.example", ("*",)),
    ],
)
def test_this_origin_may_connect(origin: str | None, host: str | None, allowed: tuple[str, ...]) -> None:
    ensure_origin_allowed(
        [] if origin is None else [origin], host, Settings.load(allowed_origins=allowed).allowed_origins
    )


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("https://evil.example", "app.example", ()),
        ("https://evil.example", "app.example", (APP,)),
        ("https://evil.example", None, ()),
        # What only looks like the own one.
        ("https://app.example.evil.example", "app.example", ()),
        ("https://evilapp.example", "app.example", ()),
        ("https://sub.app.example", "app.example", ()),
        ("https://app.example@evil.example", "app.example", ()),
        # Another port is another origin, and a port is a default only for its scheme.
        ("http://app.example:8000", "app.example", ()),
        ("http://app.example", "app.example:8000", ()),
        ("http://app.example:8000", "app.example:8001", ()),
        ("http://app.example", "app.example:443", ()),
        ("https://app.example", "app.example:80", ()),
        ("http://app.example:180", "app.example:1", ()),
        ("http://[::1]:8000", "[::1]:8001", ()),
        ("http://[::2]", "[::1]", ()),
        # No origin to compare: sandboxed frames, files, an empty header.
        ("null", "app.example", ()),
        ("null", "null", ()),
        ("", "app.example", ()),
        ("", "", ()),
        ("file://", "app.example", ()),
        ("file://", "", ()),
        ("app.example", "app.example", ()),
        # A star is for subdomains: not for the domain itself, another scheme, port or end.
        ("https://app.example", "api.example", ("https://*.app.example",)),
        ("http://shop.app.example", "api.example", ("https://*.app.example",)),
        ("https://shop.app.example:8443", "api.example", ("https://*.app.example",)),
        ("https://shop.app.example.evil.example", "api.example", ("https://*.app.example",)),
        ("https://evilapp.example", "api.example", ("https://*.app.example",)),
        # It stands for labels of a host name, and for nothing else.
        ("https://evil.example/.app.example", "api.example", ("https://*.app.example",)),
        ("https://evil.example?.app.example", "api.example", ("https://*.app.example",)),
        ("https://evil.example#.app.example", "api.example", ("https://*.app.example",)),
        ("https://evil@.app.example", "api.example", ("https://*.app.example",)),
        ("https://user:evil.app.example", "api.example", ("https://*.app.example",)),
        ("https://.app.example", "api.example", ("https://*.app.example",)),
        ("https://a..app.example", "api.example", ("https://*.app.example",)),
        ("null", "api.example", ("file://", "https://*.app.example")),
        # Listed means the whole origin.
        ("http://app.example", "api.example", (APP,)),
        ("https://app.example:8443", "api.example", (APP,)),
        ("https://app.example", "api.example", ("https://app.example:8443",)),
    ],
)
def test_this_origin_may_not_connect(origin: str, host: str | None, allowed: tuple[str, ...]) -> None:
    with pytest.raises(OriginRefused) as caught:
        ensure_origin_allowed(
            [] if origin is None else [origin], host, Settings.load(allowed_origins=allowed).allowed_origins
        )
    assert caught.value.code == 1008
    assert "HUBBUB_ALLOWED_ORIGINS" in caught.value.reason


def test_the_list_may_be_anything_to_go_through() -> None:
    ensure_origin_allowed([APP], "api.example", iter(["https://other.example", APP]))


def test_the_refusal_names_the_origin_as_it_must_be_listed() -> None:
    with pytest.raises(OriginRefused, match=r"origin 'https://evil\.example' is not allowed"):
        ensure_origin_allowed(["https://EVIL.example"], "app.example", ())


def test_no_more_than_max_connections_enter_and_each_that_leaves_makes_room_for_one() -> None:
    admission = Admission(max_connections=2, max_per_address=0)
    admission.enter("192.0.2.1")
    admission.enter("192.0.2.1")
    for _ in range(2):
        with pytest.raises(TooManyConnections, match="the server holds 2 connections"):
            admission.enter("192.0.2.2")
    admission.leave("192.0.2.1")
    admission.enter("192.0.2.2")
    with pytest.raises(TooManyConnections):
        admission.enter("192.0.2.3")


def test_clients_of_unknown_address_are_limited_in_total_alone() -> None:
    admission = Admission(max_connections=3, max_per_address=1)
    for _ in range(3):
        admission.enter("")
    with pytest.raises(TooManyConnections, match="the server holds 3 connections"):
        admission.enter("")
    admission.leave("")
    admission.enter("192.0.2.1")


def test_one_address_may_be_limited_without_a_loss_to_the_others() -> None:
    admission = Admission(max_connections=100, max_per_address=2)
    admission.enter("192.0.2.1")
    admission.enter("192.0.2.1")
    with pytest.raises(TooManyConnections, match="2 connections from one address"):
        admission.enter("192.0.2.1")
    admission.enter("192.0.2.2")
    admission.leave("192.0.2.1")
    admission.enter("192.0.2.1")
    with pytest.raises(TooManyConnections):
        admission.enter("192.0.2.1")


def test_who_is_refused_for_its_address_does_not_count_in_the_total() -> None:
    admission = Admission(max_connections=2, max_per_address=1)
    admission.enter("192.0.2.1")
    for _ in range(5):
        with pytest.raises(TooManyConnections):
            admission.enter("192.0.2.1")
    admission.enter("192.0.2.2")


def test_who_is_refused_for_the_total_does_not_count_for_its_address() -> None:
    admission = Admission(max_connections=1, max_per_address=1)
    admission.enter("192.0.2.1")
    with pytest.raises(TooManyConnections):
        admission.enter("192.0.2.2")
    admission.leave("192.0.2.1")
    admission.enter("192.0.2.2")


def test_addresses_that_have_gone_are_not_remembered() -> None:
    admission = Admission(max_connections=10, max_per_address=5)
    for number in range(1000):
        admission.enter(f"2001:db8::{number:x}")
        admission.leave(f"2001:db8::{number:x}")
    assert len(admission._addresses) == 0


def test_two_origins_are_none_that_could_be_trusted() -> None:
    with pytest.raises(OriginRefused, match="more than one"):
        ensure_origin_allowed(["https://app.example", "https://evil.example"], "app.example", ())


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_that_asks_without_an_origin_is_refused(site: str) -> None:
    with pytest.raises(OriginRefused, match="another site"):
        ensure_not_cross_site([], site)


@pytest.mark.parametrize(
    ("origins", "site"), [([], None), ([], "none"), ([], "same-origin"), ([APP], "cross-site"), ([APP], "same-site")]
)
def test_others_pass_and_who_has_an_origin_is_judged_by_that(origins: list[str], site: str | None) -> None:
    ensure_not_cross_site(origins, site)


def test_a_request_with_more_header_fields_than_allowed_is_refused_for_good() -> None:
    ensure_few_headers(3, 3)
    with pytest.raises(TooManyHeaders, match="4 header fields; HUBBUB_MAX_REQUEST_HEADERS allows 3") as caught:
        ensure_few_headers(4, 3)
    assert not caught.value.reconnect
