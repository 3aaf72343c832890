"""M4: rotated secrets: sealed records that count for all machines, before and after a takeover."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoi.cluster.rotated import RotatedSecrets
from yoi.errors import SecretError
from yoi.journal.log import Append, LogBounds
from yoi.journal.memory import MemoryJournal
from yoi.secrets.deployment import DeploymentKey

KEY = DeploymentKey(b"k" * 32)
PUBLISHED = {"refresh": "first", "api": "constant"}


async def test_a_rotation_is_sealed_and_counts_everywhere_until_another_value_is_published():
    journal = MemoryJournal()
    one, other = RotatedSecrets(journal, KEY), RotatedSecrets(journal, KEY)
    assert await one.current(PUBLISHED) == PUBLISHED
    await one.replace("refresh", "first", "first", "second")
    await one.replace("refresh", "first", "second", "third")
    assert await other.moved()
    now = {**PUBLISHED, "refresh": "third"}
    assert await one.current(PUBLISHED) == await other.current(PUBLISHED) == now
    assert not await other.moved()
    data = b"".join(record.data for record in await journal.read("secrets", 0, 100))
    for text in (b"refresh", b"first", b"second", b"third"):
        assert text not in data
    # The operator has set another one: what was rotated before it counts no more.
    assert (await one.current({**PUBLISHED, "refresh": "new"}))["refresh"] == "new"


async def test_of_two_machines_that_rotate_one_secret_the_second_is_told():
    journal = MemoryJournal()
    one, other = RotatedSecrets(journal, KEY), RotatedSecrets(journal, KEY)
    await one.current(PUBLISHED)
    await other.current(PUBLISHED)
    await one.replace("refresh", "first", "first", "one's")
    with pytest.raises(SecretError) as caught:
        await other.replace("refresh", "first", "first", "other's")
    assert caught.value.code == "secret.conflict"
    # Of two secrets both count, though neither knew of the other's.
    await other.replace("api", "constant", "constant", "later")
    assert await one.current(PUBLISHED) == {"refresh": "one's", "api": "later"}


async def test_records_that_were_not_sealed_here_are_refused():
    journal = MemoryJournal()
    made = RotatedSecrets(journal, KEY)
    await made.current({})
    await made.replace("refresh", "first", "first", "second")
    [record] = await journal.read("secrets", 0, 9)
    with pytest.raises(SecretError):
        await RotatedSecrets(journal, DeploymentKey(b"o" * 32)).current(PUBLISHED)
    # The same record at another place, or one in clear.
    for data in (record.data, b'{"name":"refresh","over":"","value":"x"}'):
        planted = MemoryJournal()
        await planted.commit([Append("secrets", 0, [b"x", data], LogBounds(9, 9999))])
        await planted.trim("secrets", 1)
        with pytest.raises(SecretError):
            await RotatedSecrets(planted, KEY).current(PUBLISHED)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 90), min_size=60, max_size=300))
async def test_the_log_stays_small_and_forgets_nothing(steps):
    journal = MemoryJournal()
    made = RotatedSecrets(journal, KEY)
    published = {f"s{number}": "first" for number in range(91)}
    now = dict(published)
    await made.current(published)
    for step, number in enumerate(steps):
        name = f"s{number}"
        await made.replace(name, "first", now[name], f"v{step}")
        now[name] = f"v{step}"
    assert await RotatedSecrets(journal, KEY).current(published) == now
    assert (await journal.status("secrets")).records <= 64 + 2 * 91
