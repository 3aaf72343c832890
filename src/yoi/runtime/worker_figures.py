"""What a runtime tells Prometheus of its workers: runs, tokens, errors, what waits for a person."""

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from yoi.protocol import events as ev
from yoi.types import Clock
from yoi.workers.worker import Worker, WorkerStatus

_STATES = ("idle", "running", "paused", "stopped", "failed")
_RESULTS = ("finished", "failed", "limit_reached", "cancelled")
_LEVELS = ("warning", "error")


class _Followed:
    """One worker and what was heard of it."""

    def __init__(self, worker: Worker, clock: Clock) -> None:
        self.worker = worker
        self.runs: Counter[str] = Counter()
        self.alerts: Counter[str] = Counter()
        self.errors = 0
        self.retries = 0
        self.waiting_since: dict[str, int] = {}
        self._clock = clock
        self._listener = self._hear  # one bound method: it is dropped by identity
        for call in worker.watch(self._listener).data.waiting:
            self.waiting_since[call.id] = clock.wall_ms()

    def leave(self) -> None:
        """Hear no more."""
        self.worker.bus.drop(self._listener)

    def _hear(self, event: ev.Event) -> None:
        match event:
            case ev.RunEnd(data):
                if data.result != "paused":
                    self.runs[data.result] += 1
                    self.waiting_since.clear()
            case ev.ApprovalRequest(data):
                self.waiting_since[data.id] = self._clock.wall_ms()
            case ev.ApprovalDone(data):
                self.waiting_since.pop(data.id, None)
            case ev.Alert(data):
                self.alerts[data.level] += 1
            case ev.Error():
                self.errors += 1
            case ev.LlmRetry():
                self.retries += 1
            case _:
                pass


class WorkerFigures:
    """Follows the workers that run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed = 0
        self._followed: dict[str, _Followed] = {}

    def follow(self, workers: Iterable[Worker], failed: int = 0) -> None:
        """Count exactly `workers`; one that is made anew counts from the start.

        `failed` is how many are configured and cannot run.
        """
        self._failed = failed
        wanted = {worker.name: worker for worker in workers}
        for name, one in list(self._followed.items()):
            if wanted.get(name) is not one.worker:
                one.leave()
                del self._followed[name]
        for name, worker in wanted.items():
            if name not in self._followed:
                self._followed[name] = _Followed(worker, self._clock)

    def approval_since(self, name: str) -> int | None:
        """Return since when (Unix ms) the oldest call of the worker `name` waits for a person."""
        one = self._followed.get(name)
        return None if one is None else min(one.waiting_since.values(), default=None)

    def families(self) -> Iterator[Metric]:
        """Yield every family."""
        followed = sorted(self._followed.items())
        rows = [(name, one, one.worker.status()) for name, one in followed]
        yield self._states(status for _, _, status in rows)
        yield from _of_runs(rows)
        yield from self._of_waiting(rows)

    def _states(self, statuses: Iterable[WorkerStatus]) -> Metric:
        counts = dict.fromkeys(_STATES, 0)
        for status in statuses:
            counts[status.status] = counts.get(status.status, 0) + 1
        counts["failed"] += self._failed
        family = GaugeMetricFamily("yoi_workers", "workers by state", labels=["state"])
        for state, count in counts.items():
            family.add_metric([state], count)
        return family

    def _of_waiting(self, rows: "list[tuple[str, _Followed, WorkerStatus]]") -> Iterator[Metric]:
        now = self._clock.wall_ms()
        inputs = GaugeMetricFamily("yoi_worker_inputs", "messages that wait", labels=["worker"])
        approvals = GaugeMetricFamily(
            "yoi_worker_approvals", "calls that wait for a person", labels=["worker"]
        )
        age = GaugeMetricFamily(
            "yoi_worker_approval_age_seconds", "how long the oldest waits", labels=["worker"]
        )
        for name, one, status in rows:
            inputs.add_metric([name], status.waiting)
            approvals.add_metric([name], len(status.approvals))
            oldest = min(one.waiting_since.values(), default=now)
            age.add_metric([name], max(0, now - oldest) / 1000 if status.approvals else 0)
        yield from (inputs, approvals, age)


def _of_runs(rows: "list[tuple[str, _Followed, WorkerStatus]]") -> Iterator[Metric]:
    runs = CounterMetricFamily("yoi_worker_runs", "runs that ended", labels=["worker", "result"])
    alerts = CounterMetricFamily(
        "yoi_worker_alerts", "what a person should see", labels=["worker", "level"]
    )
    errors = CounterMetricFamily("yoi_worker_errors", "errors told", labels=["worker"])
    retries = CounterMetricFamily(
        "yoi_worker_model_retries", "model calls made again", labels=["worker"]
    )
    calls = CounterMetricFamily("yoi_worker_model_calls", "model calls", labels=["worker"])
    tokens = CounterMetricFamily(
        "yoi_worker_tokens", "tokens, as providers count them", labels=["worker", "direction"]
    )
    today = GaugeMetricFamily(
        "yoi_worker_tokens_today", "tokens of this day (UTC)", labels=["worker"]
    )
    for name, one, status in rows:
        today.add_metric([name], status.tokens_today)
        for result in _RESULTS:
            runs.add_metric([name, result], one.runs[result])
        for level in _LEVELS:
            alerts.add_metric([name, level], one.alerts[level])
        errors.add_metric([name], one.errors)
        retries.add_metric([name], one.retries)
        calls.add_metric([name], status.llm_calls)
        tokens.add_metric([name, "in"], status.input_tokens)
        tokens.add_metric([name, "out"], status.output_tokens)
    yield from (runs, alerts, errors, retries, calls, tokens, today)
