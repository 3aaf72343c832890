"""Whether one history went well: python -m chaos.checker FOLDER

Reads what a history left in its folder: `setup.json`, `final.json`, `clients/*.jsonl` and
`witness/*.jsonl`, and believes nobody. Knows no Yoi: JSON in, findings out.

1. Each client by itself: every event the next one, or a typed resync and a snapshot (order.py).
2. Clients together: one id is one event, and a snapshot at a place is what others folded up to it.
3. Against the runtime, heard by a witness that no fault touches: a backend's incarnation of a
   stream is a stretch of one incarnation of the runtime's, event for event. Only a runtime that
   ended or began during the history may have said something to a backend alone.
4. At rest: every client's state is a fresh snapshot of its backend, that is the runtime's own, and
   its entries are the journal's.
5. Who may not see thinking, arguments and outputs has no trace of any.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from chaos import fold
from chaos.order import Finding, Followed, follow
from chaos.transcript import Json, Place, Step, read_frame, steps

CANARY = "canary-"
"""In every thought, tool argument, tool output and log line that chaos makes up."""
_ENOUGH = 20
_ENDING = frozenset({"kill", "restart"})
_IN_HISTORY = frozenset({"user_input", "assistant", "tool_result", "run_end"})


@dataclass(frozen=True, slots=True)
class Stream:
    """What one kind of observer is shown of a subject by one backend; `shown` is full or hidden."""

    backend: str
    runtime: str
    kind: str
    name: str
    shown: str

    @property
    def key(self) -> str:
        """Return its name in `final.json`."""
        return "/".join((self.backend, self.runtime, self.kind, self.name, self.shown))

    @property
    def subject(self) -> str:
        """Return what it is a stream of, at the runtime."""
        return "/".join((self.runtime, self.kind, self.name))


@dataclass(slots=True)
class Verdict:
    """What was found, and how much was looked at."""

    findings: list[Finding] = field(default_factory=list)
    clients: int = 0
    events: int = 0
    aligned: int = 0
    """Events of backends that were found in a runtime's stream, each once."""
    unwitnessed: int = 0
    """Those that a runtime has told its backends alone: it was killed, or had just started."""
    compared: int = 0
    """Snapshots that were compared with what a client had folded up to the same place."""
    resyncs: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)

    def count(self, kind: str) -> int:
        """Return how many findings of `kind` there are."""
        return sum(one.kind == kind for one in self.findings)

    def add(self, kind: str, where: str, words: str) -> None:
        """Note one finding."""
        self.findings.append(Finding(kind, where, words))  # type: ignore[arg-type]

    def to_json(self) -> Json:
        """Return it as JSON, with the first findings in words."""
        return {
            **{kind: self.count(kind) for kind in ("gap", "duplicate", "reorder", "diverged")},
            "leak": self.count("leak"),
            "clients": self.clients,
            "events": self.events,
            "aligned": self.aligned,
            "unwitnessed": self.unwitnessed,
            "compared": self.compared,
            "resyncs": dict(self.resyncs),
            "said": dict(self.said),
            "findings": [asdict(one) for one in self.findings[:_ENOUGH]],
        }


def check(folder: Path) -> Verdict:
    """Return the verdict about the history in `folder`."""
    setup = json.loads((folder / "setup.json").read_text())
    final = json.loads((folder / "final.json").read_text())
    verdict = Verdict()
    told = {
        one["client"]: list(steps(folder / "clients" / f"{one['client']}.jsonl"))
        for one in setup["clients"]
    }
    shared: dict[Stream, _Shared] = defaultdict(_Shared)
    streams = {one["client"]: _stream(one) for one in setup["clients"]}
    for client, heard in told.items():
        shared[streams[client]].collect(client, heard, verdict)
    for client, heard in told.items():
        stream = streams[client]
        found = follow(client, heard, shared[stream].comparing(client, verdict))
        verdict.clients += 1
        verdict.events += found.events
        verdict.compared += found.as_of
        verdict.resyncs.update(found.resyncs)
        verdict.said.update(found.said)
        verdict.findings += found.findings
        late = final.get("late", {}).get(stream.key)
        _at_rest(client, found, final["fresh"][stream.key], late, verdict)
        if stream.shown == "hidden":
            _no_trace(client, folder / "clients" / f"{client}.jsonl", verdict)
    restarted = {act["whom"] for act in setup["plan"]["acts"] if act["what"] in _ENDING}
    witnessed = {one["subject"]: _witness(folder, one, verdict) for one in setup["witnesses"]}
    for stream, union in shared.items():
        before = verdict.unwitnessed
        _align(stream, union.events, witnessed[stream.subject], verdict)
        if verdict.unwitnessed > before and stream.runtime not in restarted:
            verdict.add("diverged", stream.key, "events that the runtime never said")
    for key, snapshot in final["fresh"].items():
        _the_runtimes_own(Stream(*key.split("/")), snapshot, final, verdict)
    return verdict


def _stream(one: Json) -> Stream:
    return Stream(one["backend"], one["runtime"], one["kind"], one["name"], one["shown"])


class _Shared:
    """What all clients of one stream have heard, by place."""

    def __init__(self) -> None:
        self.events: dict[str, dict[int, Json]] = defaultdict(dict)
        self.snapshots: dict[Place, Json] = {}

    def collect(self, client: str, heard: list[Step], verdict: Verdict) -> None:
        for step in heard:
            if step.kind == "event" and step.place is not None:
                epoch, seq = step.place
                if self.events[epoch].setdefault(seq, step.payload) != step.payload:
                    verdict.add("diverged", client, f"{step.place} is another event elsewhere")
            elif step.kind == "snapshot" and step.place is not None:
                known = self.snapshots.setdefault(step.place, step.payload)
                # Two ways to one place may have forgotten different old entries.
                if wrong := fold.differences(fold.begin(known), fold.begin(step.payload)):
                    words = f"the snapshot at {step.place} differs elsewhere: {', '.join(wrong)}"
                    verdict.add("diverged", client, words)

    def comparing(self, client: str, verdict: Verdict) -> "_Comparing":
        return _Comparing(client, self.snapshots, verdict)


class _Comparing:
    """Holds a client's fold against the snapshots that others got at the same places."""

    def __init__(self, client: str, snapshots: dict[Place, Json], verdict: Verdict) -> None:
        self._client, self._snapshots, self._verdict = client, snapshots, verdict

    def __call__(self, place: Place, state: Json) -> None:
        snapshot = self._snapshots.get(place)
        if snapshot is not None:
            self._verdict.compared += 1
            if wrong := fold.differences(state, fold.begin(snapshot)):
                words = f"folded up to {place} it is not the snapshot there: {', '.join(wrong)}"
                self._verdict.add("diverged", self._client, words)


def _at_rest(client: str, found: Followed, fresh: str, late: str | None, verdict: Verdict) -> None:
    """Hold the client's end against its backend's snapshot, or the one `late`, after all ended."""
    last = next(step for step in read_frame(fresh) if step.kind == "snapshot")
    if late is not None and found.place != last.place:
        last = next(step for step in read_frame(late) if step.kind == "snapshot")
    if found.over:
        verdict.add("diverged", client, f"was told that nothing follows: {found.over}")
    elif found.state is None:
        verdict.add("diverged", client, "never had a state")
    elif found.place != last.place:
        verdict.add("diverged", client, f"is at {found.place}, its backend at {last.place}")
    elif wrong := fold.differences(found.state, fold.begin(last.payload)):
        verdict.add("diverged", client, f"ends with another {', '.join(wrong)}")


def _no_trace(client: str, path: Path, verdict: Verdict) -> None:
    if CANARY.encode() in path.read_bytes():
        verdict.add("leak", client, "holds what it may not see")


def _witness(folder: Path, one: Json, verdict: Verdict) -> dict[str, dict[int, Json]]:
    """Return the runtime's events by epoch and number; the witness is judged as a client is."""
    heard = list(steps(folder / "witness" / f"{one['witness']}.jsonl"))
    verdict.findings += follow(one["witness"], heard).findings
    events: dict[str, dict[int, Json]] = defaultdict(dict)
    for step in heard:
        if step.kind == "event" and step.place is not None:
            events[step.place.epoch][step.place.seq] = step.payload
    return events


def _align(
    stream: Stream,
    events: dict[str, dict[int, Json]],
    witnessed: dict[str, dict[int, Json]],
    verdict: Verdict,
) -> None:
    """Hold each incarnation of a backend's stream against the runtime's."""
    if stream.shown == "hidden":
        if stream.kind != "worker":
            return  # what is left of a status is the backend's own choice
        witnessed = {
            epoch: {seq: fold.hidden(event) for seq, event in said.items()}
            for epoch, said in witnessed.items()
        }
    index: dict[str, list[Place]] = defaultdict(list)
    for epoch, said in witnessed.items():
        for seq, event in said.items():
            index[_text(event)].append(Place(epoch, seq))
    for epoch, heard in events.items():
        _align_epoch(f"{stream.key} {epoch}", heard, witnessed, index, verdict)


def _align_epoch(
    where: str,
    heard: dict[int, Json],
    witnessed: dict[str, dict[int, Json]],
    index: dict[str, list[Place]],
    verdict: Verdict,
) -> None:
    if not heard:
        return
    # The rarest event says best where this stretch may lie.
    known = [
        (len(index[text]), seq, text)
        for seq, event in heard.items()
        if (text := _text(event)) in index
    ]
    if not known:
        verdict.unwitnessed += len(heard)
        return
    _, anchor, text = min(known)
    fits = [_fit(heard, witnessed[epoch], seq - anchor) for epoch, seq in index[text]]
    best = min(fits, key=lambda fit: len(fit.wrong))
    if best.wrong:
        verdict.add("diverged", where, f"not what the runtime said, at {sorted(best.wrong)[:5]}")
    verdict.aligned += best.right
    verdict.unwitnessed += best.beyond


class _Fit(NamedTuple):
    """How a stretch of a backend's stream compares with a runtime's at one offset."""

    right: int
    wrong: list[int]
    beyond: int
    """Before the first event that the witness has of that incarnation, or after the last."""


def _fit(heard: dict[int, Json], said: dict[int, Json], offset: int) -> _Fit:
    first, last = min(said), max(said)
    within = [seq for seq in heard if first <= seq + offset <= last]
    wrong = [seq for seq in within if said.get(seq + offset) != heard[seq]]
    return _Fit(len(within) - len(wrong), wrong, len(heard) - len(within))


def _the_runtimes_own(stream: Stream, fresh: str, final: Json, verdict: Verdict) -> None:
    own = final["own"].get(stream.subject)
    if own is None:
        return  # a service's own status counts on; its stream was held against the witness
    last = next(step for step in read_frame(fresh) if step.kind == "snapshot")
    shown, truth = fold.begin(last.payload), fold.begin(own["snapshot"])
    if stream.shown == "hidden":
        truth = fold.hidden_state(truth)
    if wrong := fold.differences(shown, truth):
        verdict.add("diverged", stream.key, f"at rest the runtime has another {', '.join(wrong)}")
    journal = {item["seq"]: item for item in own["history"] if item["type"] in _IN_HISTORY}
    entries = {one["seq"]: one for one in shown["entries"] if one["type"] in _IN_HISTORY}
    oldest = min(entries, default=0)
    if {seq for seq in journal if seq >= oldest} != set(entries):
        verdict.add("diverged", stream.key, "its entries are not those of the journal")
    for seq, entry in entries.items():
        if seq in journal and _said(journal[seq]) != _said(entry):
            verdict.add("diverged", stream.key, f"entry {seq} is not what the journal holds")


def _said(item: Json) -> list[object]:
    """Return what a person reads in an item, as far as both sides have it."""
    texts = [part["text"] for part in item.get("parts", ()) if part["kind"] == "text"]
    return [item["type"], item.get("at_ms"), item.get("text"), item.get("result"), texts]


def _text(event: Json) -> str:
    return json.dumps(event, sort_keys=True)


def _folders(root: Path) -> Iterator[Path]:
    if (root / "setup.json").exists():
        yield root
    else:
        yield from sorted(one.parent for one in root.glob("*/setup.json"))


def main() -> int:
    """Check the histories named on the command line, and print what is found."""
    parser = argparse.ArgumentParser(description="Check histories that were kept.")
    parser.add_argument("folder", type=Path, nargs="+")
    bad = False
    for root in parser.parse_args().folder:
        for folder in _folders(root):
            verdict = check(folder)
            bad = bad or bool(verdict.findings)
            print(json.dumps({"history": str(folder), **verdict.to_json()}, indent=2))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
