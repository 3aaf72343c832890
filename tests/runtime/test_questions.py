"""Questions and their answers with real parts: a server, the driver, a plugin in its sandbox."""

import json

import pytest
from tests.runtime.test_frame_path import MANIFEST, Workspace, gateway

ASKER = """
from yoi_pdk import Plugin, Send, insert_counter


def ask(what, id):
    question = {"id": None, "ask": what}
    return Send(json=question, insert=[insert_counter("/id")], reply_at="/id", id=id)


class Echo(Plugin):
    def on_text(self, event, ctx):
        message = event.json()
        if "ask" in message:
            return [ask(what, f"q.{what}") for what in message["ask"]]
        return event.reply(f"{event.in_reply_to}: {message['said']}")
"""


@pytest.fixture
def workspace(tmp_path, compiled_runner) -> Workspace:
    return Workspace(tmp_path)


def numbers(server):
    """Return the questions that the server has received, by what they ask."""
    asked = [json.loads(text) for text in server.received if text.startswith("{")]
    return {one["ask"]: one["id"] for one in asked}


@pytest.mark.parametrize("durability", ["memory", "disk"])
async def test_a_plugin_hears_which_message_answers_which_question(workspace, durability):
    """W4, W10: the host counts and compares; the plugin reads its own name for the question."""
    manifest = MANIFEST.replace('frames"', f'frames"\ndurability = "{durability}"')
    async with gateway() as server:
        workspace.install(server.url, ASKER, manifest=manifest)
        workspace.enable()
        async with workspace.runtime():
            await server.until(lambda: server.clients)
            await server.ask('{"ask": ["a", "b"]}')
            await server.until(lambda: len(server.received) == 2)
            assert numbers(server) == {"a": 1, "b": 2}
            answers = [(2, "yes"), (1, "no"), (1, "again"), ("2", "text"), (3, "never asked")]
            for number, said in answers:
                await server.ask(json.dumps({"id": number, "said": said, "in_reply_to": "q.a"}))
            await server.until(lambda: len(server.received) == 7)
    assert server.received[2:] == [
        "q.b: yes",
        "q.a: no",
        "None: again",
        "None: text",
        "None: never asked",
    ]


TEXTS = ASKER.replace('insert_counter("/id")', 'insert_counter("/id", prefix="r")')


async def test_numbers_may_be_texts(workspace):
    """Protocols whose ids are strings: GraphQL, Phoenix, notebook kernels."""
    async with gateway() as server:
        workspace.install(server.url, TEXTS)
        workspace.enable()
        async with workspace.runtime():
            await server.until(lambda: server.clients)
            await server.ask('{"ask": ["a", "b"]}')
            await server.until(lambda: len(server.received) == 2)
            assert numbers(server) == {"a": "r1", "b": "r2"}
            for number in (2, "2", "r2", "r2", "r1"):
                await server.ask(json.dumps({"id": number, "said": "yes"}))
            await server.until(lambda: len(server.received) == 7)
    assert server.received[2:] == [
        f"{question}: yes" for question in (None, None, "q.b", None, "q.a")
    ]


async def test_a_question_whose_id_waits_already_is_refused_and_the_rest_leaves(workspace):
    async with gateway() as server:
        workspace.install(server.url, ASKER)
        workspace.enable()
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            await server.ask('{"ask": ["a"]}', '{"ask": ["a", "b"]}')
            await server.until(lambda: len(server.received) == 2)
            assert numbers(server) == {"a": 1, "b": 2}
            results = runtime.services["echo"].status().commands
            refused = [one for one in results if one.status == "failed"]
            assert [one.code for one in refused] == ["connection.question_repeated"]


async def test_a_server_that_floods_answers_costs_one_answer_and_a_count(workspace):
    """Second answers by the thousand, and whatever else stands where a number should."""
    odd = ['"1"', '"2"', "2.5", "-1", "0", "true", "[2]", "{}", "9007199254740993", "1e300"]
    async with gateway() as server:
        workspace.install(server.url, ASKER, deadline_ms=5_000)
        workspace.enable()
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            await server.ask('{"ask": ["a", "b"]}')
            await server.until(lambda: len(server.received) == 2)
            repeated = ['{"id": 1, "said": "again"}'] * 2_000
            strange = [f'{{"id": {value}, "said": "odd"}}' for value in odd * 20]
            await server.ask('{"id": 1, "said": "yes"}', *repeated, *strange)
            await server.ask('{"id": 2, "said": "yes"}')
            await server.until(lambda: len(server.received) == 2 + 2 + 2_000 + 200)
            [link] = runtime.services["echo"].status().connections
    answered = [text for text in server.received[2:] if not text.startswith("None")]
    assert answered == ["q.a: yes", "q.b: yes"]
    assert (link.answers, link.answers_repeated, link.answers_unknown) == (2, 2_000, 200)
    assert workspace.codes().count("notice.answer") == 1


async def test_a_plugin_that_asks_without_end_is_refused_and_goes_on(workspace):
    names = [f"n{n}" for n in range(64)]
    async with gateway() as server:
        workspace.install(server.url, ASKER, deadline_ms=5_000)
        workspace.enable()
        async with workspace.runtime() as runtime:
            await server.until(lambda: server.clients)
            await server.ask(
                json.dumps({"ask": names}), json.dumps({"ask": ["more", "still more"]})
            )
            await server.ask('{"said": "hi"}')
            await server.until(lambda: "None: hi" in server.received)
            status = runtime.services["echo"].status()
            assert status.connections[0].open_questions == len(numbers(server)) == 64
            assert status.counters.commands_failed == 2
            await server.ask('{"id": 5, "said": "yes"}', json.dumps({"ask": ["more"]}))
            await server.until(lambda: "more" in numbers(server))
