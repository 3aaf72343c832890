from chaos.plan import BACKENDS, CROWDS, LONG_EVERY, RUNTIMES, make_plan, subjects


def test_a_seed_is_a_plan():
    assert make_plan(7) == make_plan(7)
    assert make_plan(7) != make_plan(8)


def test_fifty_clients_watch_every_stream_in_every_way():
    clients = make_plan(7).clients
    assert len({one.client for one in clients}) == len(clients) == 50
    seen = {(one.crowd, one.backend, one.runtime, one.name) for one in clients}
    assert len(seen) == len(CROWDS) * len(BACKENDS) * len(subjects())
    assert {one.shown for plan in map(make_plan, range(9)) for one in plan.clients} == {
        "full",
        "hidden",
    }


def test_every_fault_comes_up_and_ends_within_bounds():
    plans = [make_plan(seed, seed) for seed in range(1, 201)]
    acts = [act for plan in plans for act in plan.acts]
    assert {act.what for act in acts} == {
        *("kill", "restart", "freeze", "drop", "nap", "forget_keys", "forget_backlog"),
        *("rotate_keys", "stall", "deaf", "drip", "refuse", "cut", "end"),
    }
    assert {*RUNTIMES, *BACKENDS, *CROWDS} <= {act.whom for act in acts}
    assert sum(plan.window_ms > 10_000 for plan in plans) == 200 // LONG_EVERY
    for plan in plans:
        assert all(act.at_ms + act.for_ms <= plan.window_ms + 1_500 for act in plan.acts)
