"""What one history does, and when: all of it drawn from its seed."""

import random
from dataclasses import dataclass

RUNTIMES = ("north", "south")
BACKENDS = ("plain", "kept")
WORKERS = {"north": ("teller", "clerk"), "south": ("clerk",)}
SERVICE = "notes"
CROWDS = {"c0": "library", "c1": "library", "c2": "library", "c3": "socket", "c4": "events"}
LONG_EVERY = 40
"""So many histories are short for one in which a stall outlasts what servers and clients wait."""
_SHORT_MS, _FLOOD_MS, _LONG_MS = 2_500, 6_000, 42_000


@dataclass(frozen=True, slots=True)
class Act:
    """At `at_ms`, do `what` to `whom`, for `for_ms`."""

    at_ms: int
    what: str
    whom: str
    for_ms: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """At `at_ms`, say `text` to a worker; `call NAME` alone calls a service's tool."""

    at_ms: int
    runtime: str
    worker: str
    text: str


@dataclass(frozen=True, slots=True)
class Client:
    """A client's name, `CROWD-BACKEND-RUNTIME-SUBJECT`, and its habits."""

    crowd: str
    backend: str
    runtime: str
    kind: str
    name: str
    shown: str
    late_ms: int
    slow_ms: int
    again: bool

    @property
    def client(self) -> str:
        """Return its name."""
        return "-".join((self.crowd, self.backend, self.runtime, self.name))


@dataclass(frozen=True, slots=True)
class Plan:
    """One history."""

    seed: int
    window_ms: int
    clients: tuple[Client, ...]
    acts: tuple[Act, ...]
    messages: tuple[Message, ...]


def subjects() -> list[tuple[str, str, str]]:
    """Return everything there is to watch: runtime, kind, name."""
    found = [(runtime, "worker", name) for runtime in RUNTIMES for name in WORKERS[runtime]]
    return found + [(runtime, "service", SERVICE) for runtime in RUNTIMES]


def make_plan(seed: int, number: int = 1) -> Plan:
    """Return the plan of `seed`; `number` says which history of a run it is, from 1."""
    rng = random.Random(seed)
    long = number % LONG_EVERY == 0
    window_ms = _LONG_MS if long else _SHORT_MS
    clients = tuple(_clients(rng))
    acts = _acts(rng, clients)
    if long:
        acts += _long_acts(rng, clients)
    messages = _messages(rng, _SHORT_MS) + (_floods(window_ms) if long else [])
    if rng.random() < 0.15:
        behind, flood = _left_behind(rng, clients)
        acts += behind
        messages.append(flood)
        window_ms = max(window_ms, _FLOOD_MS)
    return Plan(
        seed,
        window_ms,
        clients,
        tuple(sorted(acts, key=lambda act: act.at_ms)),
        tuple(sorted(messages, key=lambda message: message.at_ms)),
    )


def _clients(rng: random.Random) -> list[Client]:
    return [
        Client(
            crowd,
            backend,
            *subject,
            shown="hidden" if rng.random() < 0.2 else "full",
            late_ms=rng.randrange(100, 2_000) if rng.random() < 0.25 else 0,
            slow_ms=rng.choice((1, 3, 10)) if rng.random() < 0.15 else 0,
            again=rng.random() < 0.3,
        )
        for crowd in CROWDS
        for backend in BACKENDS
        for subject in subjects()
    ]


def _acts(rng: random.Random, clients: tuple[Client, ...]) -> list[Act]:
    def act(what: str, whom: str, longest_ms: int) -> Act:
        return Act(rng.randrange(100, _SHORT_MS - 300), what, whom, rng.randrange(50, longest_ms))

    found = []
    for _ in range(rng.randrange(3, 7)):
        match rng.choices(
            ("server", "crowd", "link", "upstream", "loss"), weights=(30, 15, 25, 25, 5)
        )[0]:
            case "server":
                what = rng.choice(("kill", "kill", "restart", "freeze", "freeze"))
                found.append(act(what, rng.choice(RUNTIMES + BACKENDS + BACKENDS), 1_500))
            case "crowd":
                found.append(act(rng.choice(("kill", "freeze")), rng.choice(list(CROWDS)), 1_500))
            case "link":
                link = f"{rng.choice(list(CROWDS))}-{rng.choice(BACKENDS)}"
                found.append(act(_network(rng), link, 1_500))
            case "upstream":
                link = f"{rng.choice(BACKENDS)}-{rng.choice(RUNTIMES)}"
                found.append(act(_network(rng), link, 1_500))
            case "loss":
                what = rng.choice(("forget_keys", "rotate_keys", "forget_backlog"))
                found.append(act(what, rng.choice(BACKENDS), 800))
    for client in rng.sample(clients, rng.randrange(4, 12)):
        found.append(act(rng.choice(("drop", "nap")), client.client, 1_500))
    return found


def _network(rng: random.Random) -> str:
    return rng.choice(("stall", "deaf", "drip", "refuse", "cut", "end"))


def _long_acts(rng: random.Random, clients: tuple[Client, ...]) -> list[Act]:
    """Stalls beyond a follower's write deadline (30 s) and a client's patience (36 s)."""
    stalled = [Act(500, "nap", one.client, 36_000) for one in clients if one.name == "teller"][:6]
    return [
        *stalled,
        Act(600, "stall", f"{rng.choice(list(CROWDS))}-{rng.choice(BACKENDS)}", 39_000),
        Act(700, "deaf", f"{rng.choice(BACKENDS)}-{rng.choice(RUNTIMES)}", 39_500),
    ]


def _messages(rng: random.Random, window_ms: int) -> list[Message]:
    found = []
    for _ in range(rng.randrange(10, 18)):
        runtime = rng.choice(RUNTIMES)
        worker = rng.choice(WORKERS[runtime])
        tag = f"m{rng.randrange(10**9)}"
        if rng.random() < 0.2:
            text, worker = "call note", SERVICE
        elif worker == "clerk":
            text = f"{rng.choice(('tool', 'ask', 'long', 'plain'))} {tag}"
        elif rng.random() < 0.35:
            text = f"call {rng.choice(('note', 'sign'))} {tag}"
        elif rng.random() < 0.1:
            text = f"say {rng.randrange(4_500, 6_000)} 0 {tag}"
        else:
            text = f"say {rng.randrange(10, 150)} {rng.randrange(0, 12)} {tag}"
        found.append(Message(rng.randrange(0, window_ms), runtime, worker, text))
    return found


def _left_behind(rng: random.Random, clients: tuple[Client, ...]) -> tuple[list[Act], Message]:
    """Some do not read, or are away, while more is said than a ring holds."""
    watching = [one.client for one in clients if one.name == "teller" and not one.late_ms]
    whom = rng.sample(watching, min(4, len(watching)))
    acts = [
        Act(100, what, one, _FLOOD_MS) for what, one in zip(("nap", "drop") * 2, whom, strict=False)
    ]
    return acts, Message(150, "north", "teller", "say 6500 0 flood")


def _floods(window_ms: int) -> list[Message]:
    """More than rings and socket buffers hold, while some do not read."""
    return [
        Message(at, "north", "teller", f"say 5000 0 flood{at}")
        for at in range(3_000, window_ms - 8_000, 6_000)
    ]
