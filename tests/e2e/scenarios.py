"""What goes wrong in production, played out on a running chat; the tests judge what was seen.

Each scenario knows nothing of the app behind the server, so that the tutorial's chat and Hubbub's
meet the very same troubles.
"""

import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from .peers import Close, Guests, HandshakeRefused, Peer
from .servers import Server, faults_in, owner_of

LEFT = "A client left the chat"
MESSAGE_SIZE = 60_000  # under the smallest message limit in play, 64 KiB
ENOUGH_MESSAGES = 100  # 6 MB: over the kernel's send buffer (4 MiB at most) and 1 MiB of queue
PATIENCE = 1.5
TOKEN = "SECRET-5e7d"
DEAD_AFTER = 8
"""So many are kicked one after the other, none of whom ever heard a thing: the room is dead."""


def said(text: str) -> str:
    """What the chat makes of a message."""
    return f"Client says: {text}"


def cut_off(peers: Sequence[Peer]) -> list[str]:
    """The names of those who have lost their connection."""
    return [peer.name for peer in peers if peer.closed]


def address(speaker: Peer, listeners: Sequence[Peer], text: str) -> list[str]:
    """Say something; gives the names of those who did not hear it."""
    with suppress(OSError):  # who has just been cut off is heard by nobody
        speaker.send_text(text)
    came_back = speaker.hears(said(text), PATIENCE)
    deadline = time.monotonic() + (3.0 if came_back else 0.3)
    others = [peer for peer in listeners if peer is not speaker]
    return [peer.name for peer in others if not peer.hears(said(text), deadline - time.monotonic())]


def speak_until_stuck(speaker: Peer, watchers: Sequence[Peer]) -> tuple[list[str], list[float], bool]:
    """Send large messages until the last watcher misses one, or there were enough to fill every buffer.

    Gives the messages, how long each took to reach the last watcher, and whether the room is stuck.
    """
    sent: list[str] = []
    delays: list[float] = []
    for number in range(ENOUGH_MESSAGES):
        text = f"{number}:".ljust(MESSAGE_SIZE, "m")
        sent.append(text)
        started = time.monotonic()
        speaker.send_text(text)
        for watcher in watchers:
            if not watcher.hears(said(text), PATIENCE):
                return sent, delays, True
        delays.append(watchers[-1].heard[-1].at - started)
    return sent, delays, False


@dataclass(frozen=True)
class AfterBinary:
    offender: Close
    cut: list[str]
    missed: list[str]
    zombies: int


def send_one_binary_frame(server: Server) -> AfterBinary:
    """A sends one binary frame to a text chat; then B, C and the newcomer E speak."""
    with Guests(server.port, tls=server.tls) as guests:
        a, b, c, d = (guests.enter(name) for name in "ABCD")
        a.send_binary(b"\x00")
        offender = a.expect_close()
        e = guests.enter("E")
        healthy = [b, c, d, e]
        missed = []
        for speaker in (b, c, e):
            deaf = address(speaker, [peer for peer in healthy if not peer.closed], f"hello from {speaker.name}")
            missed += [f"{listener} missed {speaker.name}" for listener in deaf]
        cut = cut_off(healthy)
        live = len(healthy) - len(cut)
        with suppress(AssertionError):
            server.wait_for_clients(live, within=1.0)
        return AfterBinary(offender, cut, missed, server.state().clients - live)


@dataclass(frozen=True)
class AfterChurn:
    resets: int
    kicked: int
    missed: list[str]
    zombies: int
    delivers: bool
    faults: list[str]


def reset_connections_for_ever(server: Server, seed: int, ended: threading.Event, resets: list[int]) -> None:
    """Join, say something, vanish with a TCP RST a moment later; again and again."""
    moments = random.Random(seed)
    while not ended.is_set():
        with suppress(OSError, HandshakeRefused):
            peer = Peer(server.port, name=f"churner {seed}", reads=False, tls=server.tls)
            with peer:
                peer.send_text("hi")
                ended.wait(moments.uniform(0, 0.04))
                peer.reset()
                resets.append(seed)


def churn(server: Server, seconds: float, *, until_dead: bool = False) -> AfterChurn:
    """Four chat while six others come and go by RST; who is kicked comes back.

    Twice a second the server also meets the case that makes the tutorial's failure certain: it is
    frozen for an instant (a blocking call or a busy machine does the same), and on waking it finds
    that peers have gone and that the chatters have spoken, all in one turn of its event loop.
    """
    ended, resets, lines = threading.Event(), list[int](), list[str]()
    churners = [
        threading.Thread(target=reset_connections_for_ever, args=(server, seed, ended, resets)) for seed in range(6)
    ]
    with Guests(server.port, tls=server.tls) as guests:
        chatters = [guests.enter(name) for name in "ABCD"]
        first_chatters = list(chatters)
        kicked = kicked_unheard = 0
        for thread in churners:
            thread.start()
        try:
            deadline = time.monotonic() + seconds
            turn = 0
            while time.monotonic() < deadline and not (until_dead and kicked_unheard >= DEAD_AFTER):
                turn += 1
                if turn % 10 == 0:
                    meet_resets_and_messages_at_once(server, guests, chatters, f"{turn}", lines)
                else:
                    speak(chatters, f"{turn}", lines)
                time.sleep(0.05)
                for index, chatter in enumerate(chatters):
                    if chatter.closed:
                        kicked += 1
                        kicked_unheard = 0 if chatter.heard else kicked_unheard + 1
                        chatters[index] = guests.enter(f"{chatter.name}'")
        finally:
            ended.set()
            for thread in churners:
                thread.join()
        live = [chatter for chatter in chatters if not chatter.closed]
        with suppress(AssertionError):
            server.wait_for_clients(len(live), within=2.0 if until_dead else 5.0)
        zombies = server.state().clients - len(live)
        faithful = [chatter for chatter in first_chatters if not chatter.closed]
        missed = [] if kicked else lines_missed(faithful, lines)
        fresh = [guests.enter(name) for name in ("fresh A", "fresh B")]
        delivers = not address(fresh[0], fresh, "is anybody there?")
        return AfterChurn(len(resets), kicked, missed, zombies, delivers, sorted(set(faults_in(server.log()))))


def speak(chatters: Sequence[Peer], turn: str, lines: list[str]) -> None:
    for chatter in chatters:
        with suppress(OSError):
            chatter.send_text(f"{chatter.name} {turn}")
            lines.append(said(f"{chatter.name} {turn}"))


def meet_resets_and_messages_at_once(
    server: Server, guests: Guests, chatters: Sequence[Peer], turn: str, lines: list[str]
) -> None:
    try:
        victims = [guests.enter(f"victim {number}", reads=False) for number in range(3)]
    except (OSError, HandshakeRefused):
        return
    with server.hiccup():
        for victim in victims:
            victim.reset()
        speak(chatters, turn, lines)


def lines_missed(chatters: Sequence[Peer], lines: Sequence[str]) -> list[str]:
    """Which of the chatters' lines did not reach each of them exactly once, within a deadline."""
    deadline = time.monotonic() + 5.0
    while True:
        faults = [
            f"{chatter.name} heard {line!r} {count} times"
            for chatter in chatters
            for line, count in count_lines(chatter, lines).items()
            if count != 1
        ]
        if not faults or time.monotonic() > deadline:
            return faults
        time.sleep(0.05)


def count_lines(chatter: Peer, lines: Sequence[str]) -> dict[str, int]:
    counts = dict.fromkeys(lines, 0)
    for text in chatter.texts:
        if text in counts:
            counts[text] += 1
    return counts


@dataclass(frozen=True)
class AfterReset:
    cut: list[str]
    missed: list[str]
    left_events: list[int]
    zombies: int


def reset_a_stalled_peer(server: Server) -> AfterReset:
    """S stops reading while B speaks, and then vanishes; then the others go on talking."""
    with Guests(server.port, tls=server.tls) as guests:
        b, c, sleeper, d = (guests.enter(name, reads=name != "S") for name in "BCSD")
        speak_until_stuck(b, [c, d])
        sleeper.reset()
        healthy = [b, c, d]
        with suppress(AssertionError):
            d.expect_text(LEFT)
        missed = []
        for speaker in healthy:
            if not speaker.closed:
                missed += address(speaker, healthy, f"is {speaker.name} still here?")
        cut = cut_off(healthy)
        left_events = [peer.texts.count(LEFT) for peer in healthy if not peer.closed]
        live = len(healthy) - len(cut)
        with suppress(AssertionError):
            server.wait_for_clients(live, within=1.0)
        return AfterReset(cut, missed, left_events, server.state().clients - live)


@dataclass(frozen=True)
class AfterLeave:
    missing: dict[str, list[str]]
    left_events: list[int]
    cut: list[str]


def leave_during_a_broadcast(server: Server) -> AfterLeave:
    """A leaves while what B says is on its way to S, who is slow, and to C and D behind S."""
    with Guests(server.port, tls=server.tls) as guests:
        a, sleeper, c, d, b = (guests.enter(name, reads=name != "S") for name in "ASCDB")
        sent, _, stuck = speak_until_stuck(b, [a, c])
        if not stuck:
            more = [f"more {number}:".ljust(MESSAGE_SIZE, "m") for number in range(20)]
            for text in more[:10]:
                b.send_text(text)
            a.send_close()
            for text in more[10:]:
                b.send_text(text)
            sent += more
        else:
            a.send_close()
        server.wait_for_clients(4)
        sleeper.resume()
        listeners = [sleeper, c, d, b]
        b.send_text("the end")
        for peer in listeners:
            peer.expect_text(said("the end"), within=10.0)
        return AfterLeave(
            missing={peer.name: gaps for peer in listeners if (gaps := not_heard_once_in_order(peer, sent))},
            left_events=[peer.texts.count(LEFT) for peer in listeners],
            cut=cut_off(listeners),
        )


def not_heard_once_in_order(peer: Peer, sent: Sequence[str]) -> list[str]:
    """The numbers of the messages that did not come exactly once, or all if they came in another order."""
    numbers = [text.partition(":")[0] for text in sent]
    heard = [text.removeprefix(said("")).partition(":")[0] for text in peer.texts]
    heard = [number for number in heard if number in numbers]
    wrong = [number for number in numbers if heard.count(number) != 1]
    return wrong or (numbers if heard != numbers else [])


@dataclass(frozen=True)
class AfterKnock:
    """What became of three handshakes: 101, or the status of the refusal."""

    foreign_page: int
    own_page: int
    no_page: int
    log: str


def knock(server: Server) -> AfterKnock:
    """A page of another site, a page of this one and a program try to join, all with a token in the query."""

    path = f"/ws/chat?room=1&token={TOKEN}"

    def try_to_join(*headers: tuple[str, str]) -> int:
        try:
            with Peer(server.port, path, name="a visitor", headers=headers, tls=server.tls):
                return 101
        except HandshakeRefused as refusal:
            return refusal.status

    foreign = try_to_join(("Origin", "https://evil.example"), ("Cookie", "session=of-the-victim"))
    own = try_to_join(("Origin", server.ws.replace("ws", "http", 1)))
    program = try_to_join()
    server.get(f"/nothing-here?token={TOKEN}")
    server.wait_for_log("nothing-here")
    return AfterKnock(foreign, own, program, server.log())


@dataclass(frozen=True)
class AcrossWorkers:
    heard: list[str]
    missed: list[str]
    faults: list[str]


def talk_across_workers(server: Server) -> AcrossWorkers:
    """Three join each of two workers, one of them speaks.

    The kernel spreads connections as it likes, so one worker is frozen while the other's three join.
    """
    first, second = server.workers()
    with Guests(server.port, tls=server.tls) as guests:
        with server.hiccup(second):
            here = [guests.enter(f"one of the first worker {number}") for number in range(3)]
        with server.hiccup(first):
            there = [guests.enter(f"one of the second worker {number}") for number in range(3)]
        for worker, members in ((first, here), (second, there)):
            owners = [owner_of(server.port, member, (first, second)) for member in members]
            assert owners == [worker] * 3, f"expected all to be served by {worker}, saw {owners}"
        missed = address(here[0], here[1:] + there, "hello, everybody")
        heard = [peer.name for peer in here + there if said("hello, everybody") in peer.texts]
        return AcrossWorkers(heard, missed, faults_in(server.log()))
