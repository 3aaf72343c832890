"""T2, T3: examples/triage-agent as its README runs it: gateway process, sandbox and worker."""

import asyncio
import json
import sys
from typing import Any

from tests.examples.installed import Installed
from tests.runtime.hosts import quiet_host

from yoi.control.client import call
from yoi.host import Host
from yoi.protocol.events import RunEnd

FRAMES = 12


class Triage(Installed[int]):
    """The example and its worker, its address set to the gateway's port."""

    example = instance = "triage-agent"

    def addresses(self) -> tuple[tuple[str, str], ...]:
        return (("127.0.0.1:8765", f"127.0.0.1:{self.gateway}"),)

    def runtime(self) -> Host:
        return quiet_host(self.folder, self.diagnostics.append)


async def test_a_question_of_the_gateway_is_answered_by_the_worker(tmp_path, prepared):
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "yoi.testing.demo_gateway",
        "--state", str(tmp_path / "gateway"), "--frames", str(FRAMES), "--max-seconds", "60",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert gateway.stdout is not None
    try:
        async with asyncio.timeout(60):
            port = json.loads(await gateway.stdout.readline())["port"]
            triage = prepared(Triage, port)
            triage.enable(triage.install())
            async with triage.runtime() as runtime:
                ended = asyncio.Event()
                runtime.workers["triage"].bus.listen(
                    lambda event: ended.set() if isinstance(event, RunEnd) else None
                )
                lines = [json.loads(line) async for line in gateway.stdout]
                await ended.wait()

                async def ask(method: str, **params: Any) -> Any:
                    return await asyncio.to_thread(call, triage.folder, method, **params)

                (worker,) = await ask("worker.list")
                items = (await ask("worker.history", name="triage"))["items"]
                status = await ask("service.status", name="triage-agent")
    finally:
        if gateway.returncode is None:
            gateway.kill()
        await gateway.wait()
    assert lines[-1]["event"] == "done"
    assert lines[-1]["complete"] is True
    assert gateway.returncode == 0
    assert (worker["name"], worker["engine"]) == ("triage", "scripted")
    # Nothing entered the history but what was notified, and that before the worker ran (T3).
    kinds = [item["type"] for item in items]
    assert kinds.index("system_item") < kinds.index("run_start") < kinds.index("tool_result")
    (system,) = [item for item in items if item["type"] == "system_item"]
    assert json.loads(system["text"])["text"] == "could someone look at the build?"
    provenance = system["provenance"]
    assert (provenance["plugin"], provenance["command_id"]) == ("triage-agent", "message-1")
    assert provenance["plugin_id"] == "project:triage-agent"
    assert provenance["ingress"] == "events"
    (result,) = [item for item in items if item["type"] == "tool_result"]
    assert "sent to 1" in result["output"]
    assert "refused" not in result["output"]
    done = {(one["kind"], one["status"]) for one in status["commands"]}
    assert done == {("websocket_send", "done"), ("notify", "done")}
    assert status["counters"]["commands_done"] == FRAMES + 1
