"""Where the server under test is supplied: the only place that knows how it is started."""

from collections.abc import Callable

import pytest

from .record import free_port


@pytest.fixture(scope="session")
def backend_port() -> int:
    """Where the tests serve the backend of shared polls: put it for 3010 in the configuration of the server."""
    return free_port()


@pytest.fixture(scope="session")
def hubbub_url(backend_port: int) -> Callable[[str], str]:
    """Gives the base URL of our server for "main", "timers" or "insecure", started fresh at the first call for each.

    The configurations are those of the reference: ``record.configuration(name)`` is the file of each. A server must be
    fresh, since epochs, offsets and histories of the channels are part of what is compared.
    """
    pytest.skip("there is no server of ours yet: start it here")
