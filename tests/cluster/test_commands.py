"""Commands between machines over a real server: who is asked, what is known, and the attacks."""

import asyncio
import contextlib
import json
from dataclasses import replace

import nats
import pytest
from nats.aio.msg import Msg
from tests.cluster.test_tenure import TIMES, Ends
from tests.journal.nats import settings_of

from yoi.cluster import checks
from yoi.cluster.answering import Answering
from yoi.cluster.asking import Asking, Process
from yoi.cluster.bucket import Bucket
from yoi.cluster.records import Book, Record
from yoi.cluster.sealed_commands import Hello, Seals
from yoi.cluster.settings import ClusterSettings
from yoi.cluster.tenure import Tenure
from yoi.control.wire import Answer
from yoi.errors import ClusterError, ControlError, ServiceError
from yoi.host.forwarding import DRAIN, FORWARDED, READ_ONLY, Forwarding, answered_here
from yoi.journal.jetstream_server import connected
from yoi.limits import LIMITS, Limits
from yoi.secrets.deployment import DeploymentKey

KEY = DeploymentKey(b"k" * 32)
IMPATIENT = Limits(cluster_command_ms=600)


@pytest.fixture
async def world(server):
    made = World(server)
    try:
        yield made
    finally:
        await made.close()


class World:
    """A deployment, somebody who has its servers and nothing else, and machines."""

    def __init__(self, server):
        self.settings = settings_of(server)
        self.server = server
        self.machines = []
        self._outsiders = []

    async def machine(self, name, key=KEY, limits=LIMITS, deployment=None):
        made = Machine(self, name, key, limits, deployment or self.settings.prefix)
        await made.join()
        self.machines.append(made)
        return made

    async def outsider(self):
        client = await nats.connect(self.server.url)
        self._outsiders.append(client)
        return client

    async def close(self):
        for one in self.machines:
            await one.leave()
        for client in self._outsiders:
            await client.close()


class Machine:
    """What of a host takes part in commands; its methods write down what they were asked."""

    def __init__(self, world, name, key, limits, deployment):
        self.world, self.name, self.key = world, name, key
        self.limits, self.deployment = limits, deployment
        self.done, self.told = [], []
        self.gate = asyncio.Event()
        self.gate.set()
        self.now = None
        self._answers = None

    async def join(self):
        self.client = await connected(self.world.settings)
        prefix = self.world.settings.prefix
        machines = await Bucket.open(self.client, f"{prefix}_leases", TIMES.ttl, 1)
        units = await Bucket.open(self.client, f"{prefix}_units", 0, 1)
        loop = asyncio.get_running_loop()
        self.tenure = Tenure(machines, self.name, TIMES, loop.time, Ends())
        await self.tenure.claim()
        self.book = Book(units)
        self.process = Process(self.tenure.session, self.name)
        self.asking = Asking(
            self.client,
            self.key,
            self.deployment,
            machines,
            lambda: self.book,
            self.process,
            self.limits,
        )
        self.forwarding = Forwarding(self.asking, self.methods, self.limits)
        self.answering = Answering(
            self.client, self.key, self.deployment, self.tenure.session, self.name,
            answered_here(self.methods), READ_ONLY, self.told.append,
            lambda: loop.time() if self.now is None else self.now, self.limits,
        )  # fmt: skip
        self._running = self.answering.running()
        await self._running.__aenter__()

    async def leave(self):
        if self._running is not None:
            await self._running.__aexit__(None, None, None)
        await self.client.close()

    async def stop_answering(self):
        await self._running.__aexit__(None, None, None)
        self._running = None
        # From then on the servers say that nothing listens there.
        await self.client.flush()

    async def owns(self, *members):
        for member in members:
            await self.book.again(member)
            epoch = self.book.of(member).record.epoch + 1
            await self.book.write(
                member, Record(session=self.tenure.session, machine=self.name, epoch=epoch)
            )
        for one in self.world.machines:
            await one.book.look()

    def has(self, member):
        return self.book.of(member).record.session == self.tenure.session

    @property
    def methods(self):
        return {
            "service.restart": self._restart,
            "service.status": self._status,
            "service.list": self._list,
            "host.reload": self._restart,
            "worker.watch": self._watch,
            "worker.poll": self._poll,
            DRAIN: self._drain,
        }

    async def _restart(self, params):
        if not self.has(f"service:{params['name']}"):
            raise ServiceError("service.elsewhere", "not here", hint="yoi cluster leases")
        self.done.append(params["name"])
        await self.gate.wait()
        return {"restarted": params["name"], "by": self.name}

    async def _status(self, params):
        return "x" * params["size"]

    async def _list(self, params):
        owned = (name for name in self.book.known if self.has(name))
        return [{"name": one.partition(":")[2]} for one in owned]

    async def _watch(self, params):
        return {"watch": "key", "snapshot": {}}

    async def _poll(self, params):
        return {"events": [params["watch"]]}

    async def _drain(self, params):
        [name] = params["units"]
        return {"machine": self.name, "draining": False, "handed_over": [name], "owns": []}


async def test_a_command_reaches_the_owner_and_says_which_machine_it_was(world):
    a, b = await world.machine("a"), await world.machine("b")
    await b.owns("service:chat", "worker:agent")
    methods = a.forwarding.methods
    answer = await methods["service.restart"]({"name": "chat"})
    assert json.loads(bytes(answer.ok)) == {"restarted": "chat", "by": "b"}
    assert (answer.machine, b.done, a.done) == ("b", ["chat"], [])
    # What the process itself has is carried out here, without a word to any other.
    await a.owns("service:mine")
    assert (await methods["service.restart"]({"name": "mine"}))["by"] == "a"
    assert b.answering.counts.carried_out == 1
    # A follower goes on at the process that it began with.
    begun = await methods["worker.watch"]({"name": "agent"})
    told = await methods["worker.poll"]({"watch": begun.ok["watch"]})
    assert json.loads(bytes(told.ok)) == {"events": ["key"]}
    assert (await methods["worker.poll"]({"watch": "own"}))["events"] == ["own"]
    for member, machine in (("service:chat", "b"), ("service:mine", "a")):
        given = await methods[DRAIN]({"units": [member]})
        given = json.loads(bytes(given.ok)) if isinstance(given, Answer) else given
        assert (given["handed_over"], given["machine"]) == ([member], machine)


async def test_an_answer_of_many_parts_is_whole(world):
    a, b = await world.machine("a"), await world.machine("b")
    await b.owns("service:chat")
    size = 3 * LIMITS.cluster_part_bytes
    answer = await a.forwarding.methods["service.status"]({"name": "chat", "size": size})
    assert len(json.loads(bytes(answer.ok))) == size


async def test_lists_are_of_all_machines_and_name_those_that_are_silent(world):
    a, b, c = [await world.machine(name) for name in "abc"]
    # Whoever writes to the servers adds no machine, and ends none.
    for junk in (b"[]", b'{"machine": 1}', b"\xff", b"[" * 3_000):
        await a.tenure.bucket.put(f"host.{len(junk):016x}", junk, 0)
    await a.owns("service:one")
    await b.owns("service:two")
    await c.owns("service:three")
    await c.stop_answering()
    listed = await a.forwarding.methods["service.list"]({})
    assert [row["name"] for row in listed.ok] == ["one", "two"]
    assert (listed.machines, listed.silent) == ({"two": "b"}, ["c"])


async def test_what_moved_is_asked_for_at_its_new_owner_once(world):
    a, b, c = [await world.machine(name) for name in "abc"]
    await b.owns("service:chat")
    known = a.book.of("service:chat")
    await c.owns("service:chat")
    # It has not looked since.
    a.book.known["service:chat"] = known
    answer = await a.forwarding.methods["service.restart"]({"name": "chat"})
    assert (answer.machine, c.done, b.done) == ("c", ["chat"], [])
    # Without a listener nothing was done, and the one that it moved to is asked.
    a.book.known["service:chat"] = known
    await b.stop_answering()
    await a.forwarding.methods["service.restart"]({"name": "chat"})
    assert c.done == ["chat", "chat"]
    # Two machines that both say that they do not have it are not asked for ever.
    await c.owns("service:chat")
    c.has = lambda member: False
    with pytest.raises(ControlError) as refused:
        await a.forwarding.methods["service.restart"]({"name": "chat"})
    assert (refused.value.code, refused.value.message) == ("service.elsewhere", "on c: not here")


async def test_what_is_known_of_a_command_is_told(world):
    a, b = await world.machine("a", limits=IMPATIENT), await world.machine("b")
    await b.owns("service:chat")
    restart = a.forwarding.methods["service.restart"]
    # It was begun and gave no answer: unknown, and not repeated.
    b.gate.clear()
    with pytest.raises(ClusterError) as unknown:
        await restart({"name": "chat"})
    assert (unknown.value.code, unknown.value.fields["machine"]) == ("cluster.unanswered", "b")
    await until(lambda: b.done == ["chat"])
    # Nothing listens there: nothing was done.
    await b.stop_answering()
    with pytest.raises(ClusterError) as nothing:
        await restart({"name": "chat"})
    assert nothing.value.code == "cluster.not_listening"
    assert b.done == ["chat"]
    # What the book calls a process may be anything: it is written by who has the servers.
    for session in ("", "a b", "*", ">", "x.y", "../..", "f" * 17):
        with pytest.raises(ClusterError):
            await a.asking.ask(Process(session, "?"), "service.restart", {}, 1.0)


@pytest.mark.parametrize("method", ["host.reload", "nothing", "cluster.drain.all"])
async def test_the_list_is_closed_at_both_ends(world, method):
    a, b = await world.machine("a"), await world.machine("b")
    await b.owns("service:chat")
    assert method not in a.forwarding.methods
    with pytest.raises(ControlError) as refused:
        await a.asking.ask(b.process, method, {"name": "chat"}, 9.0)
    assert refused.value.code == "control.refused"
    assert not b.done
    assert not any(one.startswith(("host.", "mcp.", "observation.")) for one in FORWARDED)


async def doctor(world):
    """Return what `yoi cluster doctor` says of commands, as the level and which machines."""
    servers = replace(world.settings, seal=KEY)
    table = ClusterSettings(servers.servers, servers.prefix, lease_ms=round(TIMES.ttl * 1000))
    quick = Limits(journal_settle_ms=1_000, cluster_hello_ms=300)
    found = await checks.examine(table, servers, None, quick)
    return [(one.level, one.message.split()[0]) for one in found if one.name == "commands"]


async def test_the_doctor_names_machines_that_take_no_commands(world):
    assert await doctor(world) == []
    await world.machine("a")
    b = await world.machine("b")
    # It is hasty, and this machine may be slow.
    async with asyncio.timeout(30):
        while await doctor(world) != [("ok", "2")]:
            pass
    await world.machine("x", DeploymentKey(b"o" * 32))
    await b.stop_answering()
    assert await doctor(world) == [("warn", "b"), ("warn", "x")]
    assert not b.done


async def test_another_key_and_another_deployment_reach_nothing(world):
    a, b = await world.machine("a"), await world.machine("b")
    hasty = Limits(cluster_hello_ms=300)
    other_key = await world.machine("x", DeploymentKey(b"o" * 32), hasty)
    other_name = await world.machine("y", KEY, hasty, "another")
    await b.owns("service:chat")
    for stranger in (other_key, other_name):
        with pytest.raises(ClusterError) as refused:
            await stranger.forwarding.methods["service.restart"]({"name": "chat"})
        assert refused.value.code == "cluster.not_listening"
    assert not b.done
    # The other deployment's subject is another one.
    await until(lambda: [one.code for one in b.told] == ["cluster.forged"])
    assert b.answering.counts.refused == 1
    assert (await a.forwarding.methods["service.restart"]({"name": "chat"})).machine == "b"


class Recorder:
    """Somebody who has the servers: hears all, and may say anything."""

    def __init__(self, client, prefix):
        self.client, self.prefix = client, prefix
        self.heard = []
        self.on_command = None
        """Called with each command that is heard."""

    async def listen(self, *machines):
        """Hear all that `machines` say from now on.

        A server may leave out a subscription that it has confirmed, for messages of others: so each
        of them speaks until it is heard.
        """
        for subject in (f"{self.prefix}.ask.*", "_INBOX.>"):
            await self.client.subscribe(subject, cb=self._hear)
        for subject in (f"{self.prefix}.ask.probe", "_INBOX.probe"):
            for one in machines:
                said = f"probe of {one.name}".encode()
                while not any((m.subject, m.data) == (subject, said) for m in self.heard):
                    await one.client.publish(subject, said)
                    await one.client.flush()
                    await self.settle()
        await asyncio.gather(*(one.client.flush() for one in machines))
        await self.settle()
        self.heard = [one for one in self.heard if not one.subject.endswith(".probe")]

    async def _hear(self, message):
        self.heard.append(message)
        if self.on_command is not None and message.data.startswith(b"c"):
            await self.on_command(message)

    async def settle(self):
        """Return when the servers have passed on what was said before."""
        await self.client.flush()

    def asked(self):
        return [one for one in self.heard if one.subject.startswith(self.prefix)]


async def until(true):
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_who_has_the_servers_can_neither_read_nor_forge_nor_repeat_nor_redirect(world):
    a, b, c = [await world.machine(name) for name in "abc"]
    await b.owns("service:topsecret")
    await c.owns("service:other")
    recorder = Recorder(await world.outsider(), world.settings.prefix)
    await recorder.listen(a, b, c)
    restart = a.forwarding.methods["service.restart"]
    await restart({"name": "topsecret"})
    await recorder.settle()
    await until(lambda: len(recorder.heard) >= 4)
    hello, command = recorder.asked()
    everything = b"".join(one.data for one in recorder.heard)
    assert b"topsecret" not in everything
    assert b"restart" not in everything
    before = b.answering.counts.refused
    for to in (command.subject, f"{world.settings.prefix}.ask.{c.tenure.session}"):
        altered = bytearray(command.data)
        altered[len(altered) // 2] ^= 1
        for data in (command.data, bytes(altered), command.data[:-1], command.data[:7],
                     b"", b"h" + command.data[1:], b"c" + hello.data[1:]):  # fmt: skip
            await recorder.client.publish(to, data, reply=command.reply)
    await recorder.settle()
    await until(lambda: b.answering.counts.refused == before + 7)
    await until(lambda: c.answering.counts.refused == 7)
    assert (b.done, c.done) == (["topsecret"], [])
    # A hello that is sent again does nothing, and is answered where its sealed inbox says only.
    bucket = f"$KV.{world.settings.prefix}_units.service.topsecret"
    owner = await b.book.again("service:topsecret")
    await recorder.client.publish(hello.subject, hello.data, reply=bucket)
    await restart({"name": "topsecret"})
    assert await b.book.again("service:topsecret") == owner
    assert b.done == ["topsecret"] * 2


async def test_not_even_a_machine_with_the_key_has_another_write_elsewhere(world):
    b = await world.machine("b")
    client = await world.outsider()
    seals = Seals(KEY, world.settings.prefix, b.tenure.session)
    for inbox in ("$JS.API.STREAM.DELETE.X", "_INBOX.>", "_INBOX.a b", "_INBOX", "x._INBOX.a", ""):
        subject = f"{world.settings.prefix}.ask.{b.tenure.session}"
        await client.publish(subject, seals.hello(Hello("1", inbox)))
    await client.flush()
    await until(lambda: b.answering.counts.refused == 6)


async def test_what_the_servers_say_of_an_answer_is_not_believed(world):
    """An answer of another request, of another process, in another order, and a false 503."""
    a, b = await world.machine("a"), await world.machine("b")
    await b.owns("service:chat")
    recorder = Recorder(await world.outsider(), world.settings.prefix)
    await recorder.listen(a, b)
    restart = a.forwarding.methods["service.restart"]
    await restart({"name": "chat"})
    await recorder.settle()
    await until(lambda: len(recorder.heard) >= 4)
    old = [one.data for one in recorder.heard if one.subject.startswith("_INBOX")]

    async def spoil(message):
        for data in (*old, b"", b'{"ok": 1}'):
            await recorder.client.publish(message.reply, data)
        await recorder.client.publish(message.reply, b"", headers={"Status": "503"})
        await recorder.client.flush()
        b.gate.set()

    b.gate.clear()
    recorder.on_command = spoil
    answer = await restart({"name": "chat"})
    assert json.loads(bytes(answer.ok))["restarted"] == "chat"
    assert b.done == ["chat", "chat"]


async def test_a_flood_is_counted_and_met_with_silence_then_it_goes_on(world):
    a, b = await world.machine("a"), await world.machine("b")
    await b.owns("service:chat")
    client = await world.outsider()
    subject = f"{world.settings.prefix}.ask.{b.tenure.session}"
    for _ in range(5_000):
        await client.publish(subject, b"c" + b"x" * 100)
    await client.flush()
    await until(lambda: b.answering.counts.silences)
    assert b.answering.counts.refused <= LIMITS.cluster_messages
    assert [one.code for one in b.told] == ["cluster.forged"]

    # Until it listens again that is told, and nothing is done.
    async with asyncio.timeout(30):
        while not b.done:
            with contextlib.suppress(ClusterError):
                await a.forwarding.methods["service.restart"]({"name": "chat"})
    assert b.done == ["chat"]


class Swamped:
    """A NATS client that drops most of what comes, because the loop is too slow for it."""

    max_payload, last_error, delivered = 1 << 20, None, 0

    async def subscribe(self, subject, **limits):
        self.messages = self._messages()
        return self

    async def flush(self, *_):
        pass

    async def unsubscribe(self):
        pass

    async def _messages(self):
        while True:
            self.delivered += 1_000
            yield Msg(self, data=b"junk")
            await asyncio.sleep(0)


async def test_what_was_dropped_before_it_was_looked_at_counts_too():
    told, slept, client = [], asyncio.Event(), Swamped()

    async def sleep(seconds):
        slept.set()
        await asyncio.Event().wait()

    answering = Answering(
        client, KEY, "desk", "0" * 16, "b", {}, (), told.append, lambda: 0.0, LIMITS, sleep
    )
    async with answering.running(), asyncio.timeout(30):
        await slept.wait()
    assert (answering.counts.refused, answering.counts.silences) == (0, 1)
    assert [one.code for one in told] == ["cluster.forged"]


async def test_as_many_commands_as_it_takes_at_once(world):
    a = await world.machine("a")
    b = await world.machine("b", limits=Limits(control_clients=1))
    await b.owns("service:chat")
    b.gate.clear()
    first = asyncio.ensure_future(a.forwarding.methods["service.restart"]({"name": "chat"}))
    await until(lambda: b.done)
    with pytest.raises(ControlError) as busy:
        await a.forwarding.methods["service.restart"]({"name": "chat"})
    assert busy.value.code == "control.refused"
    b.gate.set()
    await first
    assert (b.done, b.answering.counts.busy) == (["chat"], 1)


async def test_a_command_that_comes_late_is_refused(world):
    a, b = await world.machine("a", limits=IMPATIENT), await world.machine("b")
    await b.owns("service:chat")
    b.now = 1_000.0
    publish = a.client.publish
    count = 0

    async def late(subject, *args, **kwargs):
        nonlocal count
        count += ".ask." in subject
        if count == 2:
            b.now += LIMITS.cluster_challenge_ms / 1000
        await publish(subject, *args, **kwargs)

    a.client.publish = late
    with pytest.raises(ClusterError) as unknown:
        await a.forwarding.methods["service.restart"]({"name": "chat"})
    assert unknown.value.code == "cluster.unanswered"
    await until(lambda: b.answering.counts.refused == 1)
    assert not b.done
