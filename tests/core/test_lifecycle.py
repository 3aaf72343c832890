"""S3, S8: the service's states, its restarts and its quarantine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.core.lifecycle import Lifecycle, Quarantine, Restart, ServiceLifecycle
from yoi.errors import SandboxError, ServiceError
from yoi.limits import Limits

ERROR = SandboxError("sandbox.trap", "unreachable")


def life(**limits) -> ServiceLifecycle:
    return ServiceLifecycle(lambda: 0.999, Limits(**limits))


def run_once(service: ServiceLifecycle) -> None:
    service.start()
    service.started()


def test_a_plain_life():
    service = life()
    run_once(service)
    assert service.state is Lifecycle.RUNNING
    service.stop()
    assert service.state is Lifecycle.STOPPING
    service.stopped()
    assert service.state is Lifecycle.STOPPED


def test_failures_wait_longer_each_time_and_then_quarantine():
    service = life(restart_first_ms=100, restart_max_ms=250, restarts_until_quarantine=4)
    delays = []
    for _ in range(3):
        run_once(service)
        decision = service.fail(ERROR, now=10.0)
        assert isinstance(decision, Restart)
        delays.append(round((decision.at - 10.0) * 1000))
    assert delays == [100, 200, 250]
    run_once(service)
    assert service.fail(ERROR, now=10.0) == Quarantine(4)
    assert service.state is Lifecycle.QUARANTINED
    assert service.restart_at is None


def test_enough_good_events_forgive_earlier_failures():
    service = life(restarts_until_quarantine=2, restart_reset_events=10)
    for _ in range(5):
        run_once(service)
        service.succeeded(9)
        service.succeeded(1)
        assert isinstance(service.fail(ERROR, 0.0), Restart)


def test_too_few_good_events_do_not():
    service = life(restarts_until_quarantine=2, restart_reset_events=10)
    run_once(service)
    service.fail(ERROR, 0.0)
    run_once(service)
    service.succeeded(9)
    assert isinstance(service.fail(ERROR, 0.0), Quarantine)


def test_a_person_may_release_a_quarantined_service():
    service = life(restarts_until_quarantine=1)
    run_once(service)
    service.fail(ERROR, 0.0)
    service.release()
    assert service.state is Lifecycle.STARTING
    assert service.failures == 0


def test_a_state_change_outside_the_table_is_refused():
    service = life()
    with pytest.raises(ServiceError) as refused:
        service.started()
    assert refused.value.code == "service.transition"
    assert service.state is Lifecycle.READY


@given(st.lists(st.sampled_from(["start", "started", "fail", "stop", "stopped", "release"])))
def test_no_sequence_of_calls_leaves_the_table(calls):
    service = life(restarts_until_quarantine=2)
    for call in calls:
        before = service.state
        try:
            if call == "fail":
                service.fail(ERROR, 0.0)
            else:
                getattr(service, call)()
        except ServiceError:
            assert service.state is before
    assert service.state in Lifecycle


def test_a_failure_long_after_the_last_is_no_loop():
    """P2: one fault a day between good work is not what quarantine is for."""
    service = life(restarts_until_quarantine=2, restart_reset_ms=3_600_000)
    for day in range(10):
        run_once(service)
        decision = service.fail(ERROR, day * 86_400.0)
        assert isinstance(decision, Restart)
        assert service.failures == 1
    run_once(service)
    assert isinstance(service.fail(ERROR, 9 * 86_400.0 + 3_599.0), Quarantine)
