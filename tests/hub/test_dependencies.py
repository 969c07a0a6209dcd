"""FastAPI's dependencies in handlers: those of a message, and those of the whole connection."""

import asyncio
import contextvars
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any

import pytest
from fastapi import (
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    Security,
    WebSocket,
)
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from tests.clock import Clock, ticks
from tests.hub.connections import ANNA, connected
from typing_extensions import TypeAliasType

from hubbub.errors import ConnectionClosed, Forbidden, InvalidRequest, Unauthorized, UsageError
from hubbub.hub.dependencies import ConnectionScope, CurrentSession, current_session
from hubbub.hub.handlers import Data, Handler

Function = Callable[..., Any]


class Filter(BaseModel):
    text: str


def call(handler: Handler, connection: ConnectionScope | None = None, **event: Any) -> Any:
    return handler(ANNA, connected() if connection is None else connection, **event)


# What is taken from the connection


async def user(x_user: Annotated[str, Header()]) -> str:
    return x_user


async def greeting(user: Annotated[str, Depends(user)], lang: str = "en") -> str:
    return f"{lang}: hello {user}"


def test_dependencies_are_given_what_the_handshake_said(clock: Clock) -> None:
    async def publish(
        room: str,
        message: Annotated[int, Data()],
        hello: Annotated[str, Depends(greeting)],
        default: str = Depends(user),
        crumb: str = Cookie(),
        page: Annotated[int, Query()] = 1,
    ) -> Any:
        return room, message, hello, default, crumb, page

    handler = Handler(publish, path=["room"], message=True)
    assert handler.needs_connection
    connection = connected(headers={"x-user": "anna", "cookie": "crumb=c"}, query="lang=de&page=3")
    got = clock.run(call(handler, connection, path={"room": "lobby"}, payload="5"))
    assert got == ("lobby", 5, "de: hello anna", "anna", "c", 3)


def test_a_handler_that_needs_its_connection_is_not_called_without(clock: Clock) -> None:
    async def publish(user: Annotated[str, Depends(user)]) -> None: ...

    with pytest.raises(AssertionError, match="needs its connection"):
        clock.run(Handler(publish)(ANNA))


def test_what_is_missing_in_the_handshake_is_named(clock: Clock) -> None:
    async def publish(hello: Annotated[str, Depends(greeting)], page: Annotated[int, Query()]) -> None: ...

    with pytest.raises(InvalidRequest) as caught:
        clock.run(call(Handler(publish), connected(query="page=secret")))
    assert caught.value.message == (
        "header.x-user: Field required; "
        "query.page: Input should be a valid integer, unable to parse string as an integer"
    )


@pytest.mark.parametrize("kind", ["websocket", "http"])
def test_every_view_of_the_connection_is_given_on_every_transport(clock: Clock, kind: str) -> None:
    async def both(request: Request, websocket: WebSocket) -> tuple[Any, ...]:
        return request.headers["x-user"], request.method, websocket.headers["x-user"]

    async def publish(
        connection: HTTPConnection, request: Request, websocket: WebSocket, both: Annotated[Any, Depends(both)]
    ) -> Any:
        request.state.seen = "by all"
        views = (connection, request, websocket)
        return [(type(view), view.headers["x-user"], view.url.path, view.state.seen) for view in views], both

    views, both_ = clock.run(call(Handler(publish), connected(kind=kind, headers={"x-user": "anna"})))
    assert views == [(view, "anna", "/ws", "by all") for view in (HTTPConnection, Request, WebSocket)]
    assert both_ == ("anna", "GET", "anna")


def test_a_handler_cannot_take_the_connection_from_the_hub(clock: Clock) -> None:
    async def publish(websocket: WebSocket) -> None:
        await websocket.accept()

    async def read(request: Request) -> None:
        await request.body()

    for function in (publish, read):
        with pytest.raises(UsageError, match=r"the connection is the hub's.*returns"):
            clock.run(call(Handler(function)))


def test_the_state_of_a_connection_is_the_same_for_all_messages(clock: Clock) -> None:
    async def count(connection: HTTPConnection) -> int:
        connection.state.count = getattr(connection.state, "count", 0) + 1
        return int(connection.state.count)

    handler, connection = Handler(count), connected()
    assert [clock.run(call(handler, connection)) for _ in range(3)] == [1, 2, 3]


def test_a_dependency_takes_parameters_of_the_pattern_and_of_the_route(clock: Clock) -> None:
    async def seat(room: int, tenant: Annotated[str, Path()]) -> Any:
        return room, tenant

    async def publish(seat: Annotated[Any, Depends(seat)]) -> Any:
        return seat

    handler = Handler(publish, path=["room"])
    connection = connected(path_params={"tenant": "acme", "room": "of the route"})
    assert clock.run(call(handler, connection, path={"room": "7"})) == (7, "acme")
    assert connection.asgi["path_params"] == {"tenant": "acme", "room": "of the route"}
    with pytest.raises(InvalidRequest, match=r"^path.room: Input should be a valid integer"):
        clock.run(call(handler, connection, path={"room": "x"}))


def test_dependencies_know_who_asks(clock: Clock) -> None:
    async def name(session: CurrentSession) -> str:
        return session.user.title()

    async def publish(
        name: Annotated[str, Depends(name)], me: CurrentSession, again: Annotated[Any, Depends(current_session)]
    ) -> Any:
        return name, me, again

    assert clock.run(call(Handler(publish))) == ("Anna", ANNA, ANNA)


CurrentUser = TypeAliasType("CurrentUser", Annotated[str, Depends(user)])


def test_a_dependency_may_have_a_name_as_a_type(clock: Clock) -> None:
    async def publish(user: CurrentUser) -> str:
        return user

    assert clock.run(call(Handler(publish), connected(headers={"x-user": "anna"}))) == "anna"


def test_an_endpoint_has_no_session(clock: Clock) -> None:
    with pytest.raises(UsageError, match="handlers of a hub"):
        clock.run(current_session(HTTPConnection({"type": "http"})))


def test_a_security_scheme_works_on_a_websocket(clock: Clock) -> None:
    async def connect(credentials: Annotated[HTTPAuthorizationCredentials, Security(HTTPBearer())]) -> str:
        return credentials.credentials

    handler = Handler(connect)
    assert clock.run(call(handler, connected(headers={"authorization": "Bearer t0ken"}))) == "t0ken"
    with pytest.raises(Unauthorized):
        clock.run(call(handler))


def test_security_scopes_reach_dependencies(clock: Clock) -> None:
    async def granted(scopes: SecurityScopes) -> list[str]:
        return scopes.scopes

    async def kept(granted: Annotated[Any, Depends(granted, scope="request")]) -> Any:
        return granted

    async def connect(
        a: Annotated[Any, Security(granted, scopes=["a"])],
        b: Annotated[Any, Security(granted, scopes=["b"])],
        c: Annotated[Any, Security(kept, scopes=["c"])],
        d: Annotated[Any, Security(kept, scopes=["d"])],
    ) -> Any:
        return a, b, c, d

    assert clock.run(call(Handler(connect))) == (["a"], ["b"], ["c"], ["d"])


def test_what_a_dependency_refuses_in_words_of_fastapi_is_refused(clock: Clock) -> None:
    async def members_only() -> None:
        raise HTTPException(403, "members only")

    async def publish(_: Annotated[None, Depends(members_only)]) -> None: ...

    with pytest.raises(Forbidden, match=r"^members only$"):
        clock.run(call(Handler(publish)))


# Of one message


class Log(list[str]):
    """What happened, in order; and dependencies that note their life in it."""

    async def opened(self) -> AsyncIterator[str]:
        self.append("open")
        try:
            yield "value"
        except Exception as error:
            self.append(f"saw {error!r}")
            raise
        finally:
            self.append("close")

    def opened_in_a_thread(self) -> Iterator[int]:
        self.append("open")
        yield threading.get_ident()
        self.append("close" if threading.get_ident() != threading.main_thread().ident else "close in the wrong thread")


def test_what_a_message_opens_is_closed_before_the_call_returns(clock: Clock) -> None:
    log = Log()

    async def publish(db: Annotated[str, Depends(log.opened)]) -> None:
        log.append(db)

    async def scenario() -> None:
        await call(Handler(publish))
        log.append("returned")

    clock.run(scenario())
    assert log == ["open", "value", "close", "returned"]


def test_a_sync_dependency_runs_in_threads(clock: Clock) -> None:
    log = Log()

    def plain() -> int:
        return threading.get_ident()

    def publish(
        opened: Annotated[int, Depends(log.opened_in_a_thread)], plain: Annotated[int, Depends(plain)]
    ) -> set[int]:
        log.append("handled")
        return {opened, plain, threading.get_ident()}

    assert threading.get_ident() not in clock.run(call(Handler(publish)))
    assert log == ["open", "handled", "close"]


def test_what_a_handler_raises_reaches_its_dependencies(clock: Clock) -> None:
    log = Log()

    async def publish(db: Annotated[str, Depends(log.opened)]) -> None:
        raise HTTPException(403, "no")

    with pytest.raises(Forbidden, match=r"^no$"):
        clock.run(call(Handler(publish)))
    assert log == ["open", "saw HTTPException(status_code=403, detail='no')", "close"]


def test_a_dependency_that_swallows_an_exception_is_told_to_raise_it(clock: Clock) -> None:
    async def swallowing() -> AsyncIterator[None]:
        with suppress(ValueError):
            yield

    async def publish(_: Annotated[None, Depends(swallowing)]) -> None:
        raise ValueError

    with pytest.raises(UsageError, match=r"publish: a dependency with yield took an exception .* with raise"):
        clock.run(call(Handler(publish)))


def test_a_dependency_is_resolved_once_for_a_message_unless_it_is_not_to_be(clock: Clock) -> None:
    counted: list[None] = []

    async def count() -> int:
        counted.append(None)
        return len(counted)

    async def below(count: Annotated[int, Depends(count)]) -> int:
        return count

    async def publish(
        first: Annotated[int, Depends(count)],
        second: Annotated[int, Depends(below)],
        fresh: Annotated[int, Depends(count, use_cache=False)],
    ) -> Any:
        return first, second, fresh

    handler, connection = Handler(publish), connected()
    assert clock.run(call(handler, connection)) == (1, 1, 2)
    assert clock.run(call(handler, connection)) == (3, 3, 4)


# Of the whole connection


def test_what_a_connection_opens_is_opened_once_and_closed_at_its_end(clock: Clock) -> None:
    log = Log()

    async def publish(db: Annotated[str, Depends(log.opened, scope="request")]) -> None:
        log.append(db)

    async def other(db: Annotated[str, Depends(log.opened, scope="request")]) -> None:
        raise ValueError

    async def scenario() -> None:
        connection = connected()
        await call(Handler(publish), connection)
        await call(Handler(publish), connection)
        with pytest.raises(ValueError, match=r"^$"):
            await call(Handler(other), connection)
        log.append("end")
        await connection.aclose()
        await connection.aclose()

    clock.run(scenario())
    assert log == ["open", "value", "value", "end", "close"]


def test_what_a_connection_opens_may_depend_on_its_route_and_who_asks(clock: Clock) -> None:
    async def tenant(tenant: Annotated[str, Path()], me: CurrentSession) -> str:
        return f"{me.user} of {tenant}"

    async def publish(tenant: Annotated[str, Depends(tenant, scope="request")]) -> str:
        return tenant

    handler = Handler(publish, path=["room"])
    connection = connected(path_params={"tenant": "acme"})
    assert clock.run(call(handler, connection, path={"room": "lobby"})) == "anna of acme"


def test_security_scopes_divide_only_what_reads_them(clock: Clock) -> None:
    opened: list[None] = []

    async def database() -> int:
        opened.append(None)
        return len(opened)

    async def user(db: Annotated[int, Depends(database, scope="request")]) -> int:
        return db

    async def publish(
        reader: Annotated[int, Security(user, scopes=["read"])],
        writer: Annotated[int, Security(user, scopes=["write"])],
    ) -> Any:
        return reader, writer

    assert clock.run(call(Handler(publish))) == (1, 1)


def test_messages_that_race_open_once(clock: Clock) -> None:
    log, opening = Log(), asyncio.Event()

    async def slowly() -> AsyncIterator[str]:
        await opening.wait()
        async for value in log.opened():
            yield value

    async def publish(db: Annotated[str, Depends(slowly, scope="request")]) -> str:
        return db

    async def scenario() -> None:
        handler, connection = Handler(publish), connected()
        racing = [asyncio.create_task(call(handler, connection)) for _ in range(3)]
        await ticks(3)
        racing[0].cancel()
        await ticks(3)
        opening.set()
        assert await asyncio.gather(*racing[1:]) == ["value", "value"]
        assert racing[0].cancelled()
        await connection.aclose()

    clock.run(scenario())
    assert log == ["open", "close"]


def test_each_connection_opens_its_own(clock: Clock) -> None:
    log = Log()

    async def publish(db: Annotated[str, Depends(log.opened, scope="request")]) -> None: ...

    async def scenario() -> None:
        first, second, handler = connected(), connected(), Handler(publish)
        await call(handler, first)
        await call(handler, second)
        await first.aclose()
        await second.aclose()

    clock.run(scenario())
    assert log == ["open", "open", "close", "close"]


def test_a_connection_holds_a_task_only_for_what_it_has_to_close(clock: Clock) -> None:
    log = Log()

    async def plain() -> str:
        return "value"

    async def without(value: Annotated[str, Depends(plain, scope="request")]) -> str:
        return value

    async def with_(db: Annotated[str, Depends(log.opened, scope="request")]) -> None: ...

    async def scenario() -> None:
        connection = connected()
        before = len(asyncio.all_tasks())
        assert await call(Handler(without), connection) == "value"
        await ticks()
        assert len(asyncio.all_tasks()) == before
        await call(Handler(with_), connection)
        await ticks()
        assert len(asyncio.all_tasks()) == before + 1
        await connection.aclose()
        assert len(asyncio.all_tasks()) == before

    clock.run(scenario())


def test_what_a_connection_opens_may_enter_what_only_its_task_may_leave(clock: Clock) -> None:
    variable = contextvars.ContextVar[str]("variable")

    async def demanding() -> AsyncIterator[asyncio.TaskGroup]:
        token = variable.set("set")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            yield group
        variable.reset(token)

    async def publish(group: Annotated[asyncio.TaskGroup, Depends(demanding, scope="request")]) -> None:
        group.create_task(asyncio.sleep(1))

    async def scenario() -> None:
        connection, handler = connected(), Handler(publish)
        await asyncio.create_task(call(handler, connection))
        await asyncio.create_task(call(handler, connection))
        await asyncio.create_task(connection.aclose())

    clock.run(scenario())


def test_what_depends_on_another_is_closed_before_it(clock: Clock) -> None:
    log: list[str] = []

    async def pool() -> AsyncIterator[str]:
        yield "pool"
        log.append("close pool")

    async def settings() -> AsyncIterator[str]:
        yield "settings"
        log.append("close settings")

    async def database(
        pool: Annotated[str, Depends(pool, scope="request")], settings: Annotated[str, Depends(settings)]
    ) -> AsyncIterator[str]:
        yield f"database of {pool} and {settings}"
        log.append("close database")

    async def publish(
        database: Annotated[str, Depends(database, scope="request")],
        pool: Annotated[str, Depends(pool, scope="request")],
    ) -> str:
        return database

    async def scenario() -> None:
        connection = connected()
        assert await call(Handler(publish), connection) == "database of pool and settings"
        assert log == []
        await connection.aclose()

    clock.run(scenario())
    assert log == ["close database", "close settings", "close pool"]


def test_what_could_not_be_opened_is_tried_anew(clock: Clock) -> None:
    log: list[str] = []

    async def below() -> AsyncIterator[None]:
        yield
        log.append("never")  # the exception comes in at the yield

    async def unsteady(_: Annotated[None, Depends(below)], x_user: Annotated[str, Header()]) -> str:
        log.append(x_user)
        if len(log) == 1:
            raise HTTPException(401, "who?")
        return x_user

    async def publish(user: Annotated[str, Depends(unsteady, scope="request")]) -> str:
        return user

    async def scenario() -> None:
        handler, connection = Handler(publish), connected()
        with pytest.raises(InvalidRequest, match=r"^header.x-user: Field required$"):
            await call(handler, connection)
        connection.asgi["headers"].append((b"x-user", b"anna"))
        with pytest.raises(Unauthorized, match=r"^who\?$"):
            await call(handler, connection)
        assert [await call(handler, connection) for _ in range(2)] == ["anna", "anna"]

    clock.run(scenario())
    assert log == ["anna", "anna"]


def test_what_fails_when_nobody_waits_any_more_disturbs_nobody(clock: Clock) -> None:
    opening = asyncio.Event()

    async def failing() -> None:
        await opening.wait()
        raise ValueError

    async def publish(_: Annotated[None, Depends(failing, scope="request")]) -> None: ...

    async def scenario() -> None:
        connection = connected()
        asked = asyncio.create_task(call(Handler(publish), connection))
        await ticks(2)
        asked.cancel()
        await ticks(2)
        opening.set()
        await connection.aclose()

    clock.run(scenario())
    gc.collect()
    clock.run(ticks())  # which raises what nobody has handled


def test_a_dependency_that_swallows_the_failure_to_open_another_is_told_to_raise_it(clock: Clock) -> None:
    async def swallowing() -> AsyncIterator[None]:
        with suppress(ValueError):
            yield

    async def failing(_: Annotated[None, Depends(swallowing)]) -> None:
        raise ValueError

    async def publish(_: Annotated[None, Depends(failing, scope="request")]) -> None: ...

    with pytest.raises(UsageError, match="a dependency with yield took an exception"):
        clock.run(call(Handler(publish)))


def test_the_end_waits_for_what_is_being_opened_and_closes_it(clock: Clock) -> None:
    log, opening = Log(), asyncio.Event()

    async def slowly() -> AsyncIterator[str]:
        await opening.wait()
        async for value in log.opened():
            yield value

    async def publish(db: Annotated[str, Depends(slowly, scope="request")]) -> None: ...

    async def scenario() -> None:
        handler, connection = Handler(publish), connected()
        asked = asyncio.create_task(call(handler, connection))
        await ticks(2)
        end = asyncio.create_task(connection.aclose())
        await ticks(2)
        assert log == []
        opening.set()
        await end
        assert log == ["open", "close"]
        await asked
        with pytest.raises(ConnectionClosed):
            await call(handler, connection)

    clock.run(scenario())


def test_everything_is_closed_even_if_something_fails_to(clock: Clock) -> None:
    log = Log()

    async def failing() -> AsyncIterator[None]:
        yield
        raise ValueError("cannot close")

    async def publish(
        db: Annotated[str, Depends(log.opened, scope="request")], _: Annotated[None, Depends(failing, scope="request")]
    ) -> None: ...

    async def scenario() -> None:
        connection = connected()
        await call(Handler(publish), connection)
        with pytest.raises(ValueError, match="cannot close"):
            await connection.aclose()

    clock.run(scenario())
    assert log == ["open", "close"]


def test_an_event_loop_that_ends_closes_what_is_open(clock: Clock) -> None:
    log, never = Log(), asyncio.Event()

    async def waiting() -> None:
        await never.wait()

    async def publish(db: Annotated[str, Depends(log.opened, scope="request")]) -> None: ...

    async def wait(_: Annotated[None, Depends(waiting, scope="request")]) -> None: ...

    async def scenario() -> None:
        connection = connected()
        await call(Handler(publish), connection)
        asked = asyncio.create_task(call(Handler(wait), connection))
        await ticks(2)
        for task in asyncio.all_tasks() - {asyncio.current_task(), asked}:
            task.cancel()
        with pytest.raises(ConnectionClosed):
            await asked
        assert log == ["open", "close"]
        await connection.aclose()

    clock.run(scenario())


def test_a_connection_that_opened_nothing_has_nothing_to_close(clock: Clock) -> None:
    clock.run(connected().aclose())


# Overrides


def test_the_overrides_of_the_app_hold_and_may_change(clock: Clock) -> None:
    app, log = FastAPI(), Log()

    async def user(x_user: Annotated[str, Header()]) -> str:
        return x_user

    async def greeting(user: Annotated[str, Depends(user)]) -> str:
        return f"hello {user}"

    async def publish(hello: Annotated[str, Depends(greeting)]) -> str:
        log.append("handled")
        return hello

    async def stand_in(room: str, db: Annotated[str, Depends(log.opened)]) -> str:
        return f"nobody in {room}"

    handler = Handler(publish, path=["room"])
    connection = connected(headers={"x-user": "anna"}, app=app)
    event = {"path": {"room": "lobby"}}
    assert clock.run(call(handler, connection, **event)) == "hello anna"
    app.dependency_overrides[user] = stand_in
    assert clock.run(call(handler, connection, **event)) == "hello nobody in lobby"
    assert log == ["handled", "open", "handled", "close"]
    app.dependency_overrides.clear()
    assert clock.run(call(handler, connection, **event)) == "hello anna"


def test_an_override_is_cached_like_what_it_stands_for(clock: Clock) -> None:
    app, counted = FastAPI(), [0]

    async def count() -> int:
        raise AssertionError("overridden")

    async def stand_in() -> int:
        counted[0] += 1
        return counted[0]

    async def publish(
        first: Annotated[int, Depends(count)],
        second: Annotated[int, Depends(count)],
        fresh: Annotated[int, Depends(count, use_cache=False)],
    ) -> Any:
        return first, second, fresh

    app.dependency_overrides[count] = stand_in
    assert clock.run(call(Handler(publish), connected(app=app))) == (1, 1, 2)


def test_an_override_lives_as_long_as_what_it_stands_for(clock: Clock) -> None:
    app, log = FastAPI(), Log()

    async def database() -> AsyncIterator[str]:
        raise AssertionError("overridden")
        yield

    async def publish(db: Annotated[str, Depends(database, scope="request")]) -> str:
        return db

    app.dependency_overrides[database] = log.opened

    async def scenario() -> None:
        connection = connected(app=app)
        handler = Handler(publish)
        assert [await call(handler, connection) for _ in range(2)] == ["value", "value"]
        assert log == ["open"]
        await connection.aclose()

    clock.run(scenario())
    assert log == ["open", "close"]


def test_an_override_of_another_dependency_leaves_what_a_message_opens_to_the_message(clock: Clock) -> None:
    app, log = FastAPI(), Log()
    app.dependency_overrides[user] = lambda: "nobody"

    async def below(db: Annotated[str, Depends(log.opened)]) -> str:
        return db

    async def publish(db: Annotated[str, Depends(below)]) -> None: ...

    clock.run(call(Handler(publish), connected(app=app)))
    assert log == ["open", "close"]


# What is told at the declaration


async def takes_a_body(filter: Filter) -> None: ...


async def takes_a_value_of_a_body(rating: Annotated[int, Body()]) -> None: ...


async def takes_a_response(response: Response) -> None: ...


async def takes_background_tasks(tasks: BackgroundTasks) -> None: ...


async def takes_the_room(room: str) -> None: ...


async def misspells_the_room(rom: str) -> None: ...


async def depends_on_a_misspelt_room(_: Annotated[None, Depends(misspells_the_room)]) -> None: ...


async def of_the_message() -> None: ...


async def of_the_connection(_: Annotated[None, Depends(of_the_message, scope="function")]) -> None: ...


async def yields_for_the_connection(
    _: Annotated[None, Depends(of_the_message, scope="function")],
) -> AsyncIterator[None]:
    yield


async def marks_the_room(room: Annotated[str, Query()]) -> None: ...


@pytest.mark.parametrize(
    ("dependency", "words"),
    [
        (Depends(takes_a_body), "takes_a_body takes 'filter' from a body; .*call what needs the message"),
        (Depends(takes_a_value_of_a_body), "takes_a_value_of_a_body takes 'rating' from a body"),
        (Depends(takes_a_response), "takes_a_response takes 'response'.*leave it out"),
        (Depends(takes_background_tasks), "takes_background_tasks takes 'tasks'.*leave it out"),
        (Depends(takes_the_room, scope="request"), "takes_the_room takes 'room'.*leave out scope='request'"),
        (Depends(of_the_connection, scope="request"), "of_the_message has scope='function'.*the same scope"),
        (Depends(yields_for_the_connection, scope="request"), '"yields_for_the_connection" has a scope of "request"'),
        (Depends(misspells_the_room), "misspells_the_room takes 'rom' from the query.*did you mean 'room'"),
        (Depends(depends_on_a_misspelt_room), "misspells_the_room takes 'rom' from the query"),
        (Depends(marks_the_room), "Cannot use `Query` for path param 'room'"),
    ],
)
def test_what_a_message_does_not_have_is_said_at_the_declaration(dependency: Any, words: str) -> None:
    async def publish(room: str, value: Any = dependency) -> None: ...

    with pytest.raises(UsageError, match=f"publish: .*{words}"):
        Handler(publish, path=["room"])


def test_a_dependency_may_take_what_looks_like_a_parameter_of_the_pattern_if_it_says_so(clock: Clock) -> None:
    async def says_so(rom: Annotated[str, Query()]) -> str:
        return rom

    async def takes_both(room: str, rooms: str = "all") -> str:
        return f"{room} of {rooms}"

    async def publish(rom: Annotated[str, Depends(says_so)], both: Annotated[str, Depends(takes_both)]) -> str:
        return f"{rom}, {both}"

    handler = Handler(publish, path=["room"])
    connection = connected(query_string=b"rom=a&rooms=many")
    assert clock.run(call(handler, connection, path={"room": "lobby"})) == "a, lobby of many"
