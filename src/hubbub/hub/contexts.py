"""The context variables of a handshake, for the app's functions that run later for that connection.

Middleware sets them (a request id, a tenant, a trace), and ASGI servers run all of a connection's code where they are
set. The hub runs its handlers from callbacks and timers, so it keeps them.
"""

from contextvars import Context, copy_context
from weakref import ref

_ABSENT = object()


class Contexts:
    """One context for all connections whose handshakes left the same objects in the same variables.

    Most apps set none, and a context of its own for each idle connection is memory.
    """

    def __init__(self) -> None:
        self._newest: ref[Context] | None = None

    def current(self) -> Context:
        """The variables of the running code. Run in a copy of it: it is shared."""
        context = copy_context()
        newest = self._newest() if self._newest is not None else None
        if newest is not None and _same(context, newest):
            return newest
        self._newest = ref(context)
        return context


def _same(one: Context, other: Context) -> bool:
    """Whether they hold the same objects. Equal ones will not do: one connection could change those of another."""
    return len(one) == len(other) and all(other.get(variable, _ABSENT) is value for variable, value in one.items())
