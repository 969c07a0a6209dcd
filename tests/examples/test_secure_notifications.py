import pytest
from tests.examples.conftest import Serve, load
from tests.examples.peer import Peer, post, refused

WELCOME = "Hello, authenticated_user! You are now connected to secure notifications."
BODY = {"message": "Your order has been sent."}


def test_the_right_token_is_welcomed_and_answered(serve: Serve) -> None:
    with Peer(serve(load("secure_notifications")), "/ws/notify?token=secret-token") as peer:
        peer.hears(WELCOME)
        peer.says("hi")
        peer.hears("Notification received: hi")
        peer.leaves()


@pytest.mark.parametrize("query", ["?token=wrong", "?token=", ""])
def test_another_token_or_none_is_refused_before_the_accept(serve: Serve, query: str) -> None:
    assert refused(serve(load("secure_notifications")), f"/ws/notify{query}") == 403


def test_a_notification_reaches_every_device_of_the_user(serve: Serve) -> None:
    port = serve(load("secure_notifications"))
    target = "/ws/notify?token=secret-token"
    with Peer(port, target) as phone, Peer(port, target) as laptop:
        for device in (phone, laptop):
            device.hears(WELCOME)
            device.says("ready")
            device.hears("Notification received: ready")
        assert post(port, "/notify", BODY, {"Authorization": "Bearer secret-token"}) == (202, b"null")
        for device in (phone, laptop):
            device.hears("Your order has been sent.")
            device.leaves()


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic c2VjcmV0"}])
def test_nobody_else_may_notify(serve: Serve, headers: dict[str, str]) -> None:
    port = serve(load("secure_notifications"))
    with Peer(port, "/ws/notify?token=secret-token") as peer:
        peer.hears(WELCOME)
        assert post(port, "/notify", BODY, headers)[0] == 401
        peer.leaves()  # and has heard nothing


def test_a_notification_without_a_message_is_refused(serve: Serve) -> None:
    port = serve(load("secure_notifications"))
    assert post(port, "/notify", {"text": "hi"}, {"Authorization": "Bearer secret-token"})[0] == 422
