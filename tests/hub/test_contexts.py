"""Connections keep the context variables of their handshakes, and share them where they are the same."""

import gc
import weakref
from contextvars import Context, ContextVar
from typing import Any

from hubbub.hub.contexts import Contexts

tenant: ContextVar[Any] = ContextVar("tenant")


def seen(contexts: Contexts, value: Any = None) -> Context:
    """What is kept for a connection whose middleware has set ``tenant``, or nothing."""

    def handshake() -> Context:
        if value is not None:
            tenant.set(value)
        return contexts.current()

    return Context().run(handshake)


def test_connections_without_variables_of_their_own_share_one_context() -> None:
    contexts = Contexts()
    assert seen(contexts) is seen(contexts)
    value = object()
    first = seen(contexts, value)
    assert first[tenant] is value
    assert seen(contexts, value) is first
    assert seen(contexts) is not first


def test_variables_that_are_merely_equal_are_not_shared() -> None:
    contexts = Contexts()
    first, second = {"user": "anna"}, {"user": "anna"}
    one, other = seen(contexts, first), seen(contexts, second)
    assert one[tenant] is first
    assert other[tenant] is second


def test_a_context_that_no_connection_needs_is_gone() -> None:
    contexts = Contexts()

    class Heavy:
        pass

    heavy = Heavy()
    gone = weakref.ref(heavy)
    kept = seen(contexts, heavy)
    del heavy
    assert gone() is not None
    del kept
    gc.collect()
    assert gone() is None
