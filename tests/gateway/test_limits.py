"""Limits and tags of devices: checked, kept, enforced with an alarm, and lifted again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_recordings import RECORD, play, summary
from recorded import SECOND, START, Recorded, seconds
from running_gateway import GatewayFactory, run
from source_device import Device, until
from tickseal_gateway.health.view import View
from tickseal_gateway.ingest import budgets
from tickseal_gateway.ingest.budgets import Budget
from tickseal_gateway.ingest.quotas import Quota
from tickseal_gateway.recordings.shelf import FILE_BYTES, Shelf
from tickseal_gateway.registry.limits import LimitError, Limits, parse_limit
from tickseal_gateway.registry.tags import TagError, changed_tags

from tickseal.core.errors import StoreError, TicksealError
from tickseal.sessions import events as ev

# --- As values ---


@given(
    st.builds(
        Limits,
        streams=st.none() | st.integers(1, 1 << 50),
        frames_per_s=st.none() | st.integers(1, 1 << 50),
        bytes_per_s=st.none() | st.integers(1, 1 << 50),
        storage_bytes=st.none() | st.integers(1, 1 << 50),
    )
)
def test_limits_come_back_from_the_registry_as_they_were(limits: Limits) -> None:
    assert Limits.decode(limits.encode()) == limits


@given(
    st.text(max_size=30)
    | st.sampled_from(('{"streams": 0}', '{"x": 1}', "[]", '{"streams": true}'))
)
def test_any_other_text_is_one_documented_error(text: str) -> None:
    try:
        limits = Limits.decode(text)
    except StoreError:
        return
    assert json.loads(limits.encode()) == json.loads(text)


def test_limits_are_written_as_people_write_them() -> None:
    assert parse_limit("100kB", is_size=True) == 100_000
    assert parse_limit("1MiB/s", is_size=True) == 1 << 20
    assert parse_limit("2500", is_size=True) == 2500
    assert parse_limit("20", is_size=False) == 20
    assert parse_limit("none", is_size=True) is None
    for text in ("much", "-3 kB", "", "1.5"):
        with pytest.raises(LimitError, match="is no limit; write for example"):
            parse_limit(text, is_size=False)
    assert str(Limits(frames_per_s=20, bytes_per_s=100_000)) == "20 frames/s, 100kB/s"
    with pytest.raises(LimitError, match="no limit is called 'speed'"):
        Limits().changed({"speed": 1})
    with pytest.raises(LimitError, match="the limit of streams"):
        Limits().changed({"streams": 0})


def test_tags_are_words_in_the_order_of_the_alphabet() -> None:
    assert changed_tags(("b",), add=("c", "a"), remove=("b", "x")) == ("a", "c")
    for bad in ("", "Green", "two words", "-x", "x" * 33, "ü"):
        with pytest.raises(TagError, match="is no tag"):
            changed_tags((), add=(bad,))
    with pytest.raises(TagError, match="at most 16"):
        changed_tags((), add=[f"tag{number}" for number in range(17)])


def taken_in_two_segments(budget: Budget, length: int) -> bool:
    passes = budget.passes(1, 0, length // 2)
    assert budget.passes(1, 1, length - length // 2) is passes
    return passes


@given(
    take=st.sampled_from((Budget.take, taken_in_two_segments)),
    frames_per_s=st.integers(1, 50),
    bytes_per_s=st.none() | st.integers(100, 10_000),
    sent=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 5000)), max_size=200),
)
def test_a_budget_lets_through_no_more_than_its_rate_and_a_burst(
    take: Callable[[Budget, int], bool],
    frames_per_s: int,
    bytes_per_s: int | None,
    sent: list[tuple[float, int]],
) -> None:
    now = 0.0
    budget = Budget(Limits(frames_per_s=frames_per_s, bytes_per_s=bytes_per_s), lambda: now)
    frames = size = largest = 0
    for passed, length in sent:
        now += passed
        if take(budget, length):
            frames += 1
            size += length
            largest = max(largest, length)
    assert frames <= frames_per_s * (now + 2) + 1e-6
    if bytes_per_s is not None:
        assert size <= bytes_per_s * (now + 2) + largest + 1e-6


@pytest.mark.parametrize("limits", [Limits(frames_per_s=10), Limits(bytes_per_s=1000)], ids=str)
def test_a_quiet_hour_is_not_saved_up(limits: Limits) -> None:
    now = 0.0
    budget = Budget(limits, lambda: now)
    now += 3600
    assert [budget.take(100) for _ in range(30)] == [True] * 20 + [False] * 10


def test_a_frame_passes_whole_or_not_at_all() -> None:
    budget = Budget(Limits(frames_per_s=1), lambda: 0.0)
    # Two streams whose segments come in turns: two frames are within the burst.
    for expected in (True, False):
        for index in range(3):
            assert budget.passes(1, index, 10) is expected
            assert budget.passes(2, index, 10) is expected


def test_a_budget_takes_all_that_is_within_its_rate() -> None:
    now = 0.0
    budget = Budget(Limits(frames_per_s=10, bytes_per_s=1000), lambda: now)
    for _ in range(1000):
        now += 0.1
        assert budget.take(100)
    assert budget.denied == 0


# --- At a gateway ---


async def enrolled(view: View) -> Device:
    device = Device(str((await view.invite(name="garden"))["token"]))
    async with device.connected():
        pass
    return device


def alarms(view: View) -> dict[str, str]:
    standing: Any = view.snapshot()["alarms"]
    return {alarm["kind"]: alarm["detail"] for alarm in standing}


def written(view: View, name: str) -> int:
    outputs: Any = view.snapshot()["outputs"]
    return int(next(row["written"] for row in outputs if row["name"] == name))


def test_frames_beyond_the_rate_go_to_no_output_and_an_alarm_says_so(
    gateways: GatewayFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "_QUIET_S", 0)

    async def main() -> None:
        async with gateways.inside(RECORD) as view:
            device = await enrolled(view)
            async with device.connected():
                await device.open()
                assert await view.limit("garden", {"frames_per_s": 1}) == {"frames_per_s": 1}
                for value in range(40):
                    await device.send(value)
                await until(lambda: view.snapshot()["totals"]["frames"] == 40)
                await summary(device)  # never too many: it tells what was left out
                (stream,) = view.snapshot()["streams"]
                assert 36 <= stream["over_limit"] <= 38, "a burst of 2 s is taken"
                await until(lambda: "limit_rate" in alarms(view))
                assert "1 frames/s" in alarms(view)["limit_rate"]
                told = await device.wait_for(ev.AlarmRaised)
                assert told.reason == "limit"
                await until(lambda: written(view, "store") == 40 - stream["over_limit"])
                await until(lambda: "limit_rate" not in alarms(view))
                await view.limit("garden", {"frames_per_s": None})
                for value in range(30):
                    await device.send(value)
                await until(lambda: view.snapshot()["totals"]["frames"] == 70)
                (after,) = view.snapshot()["streams"]
                assert after["over_limit"] == stream["over_limit"]
                kept = 70 - stream["over_limit"]
                await until(lambda: written(view, "recordings") >= kept + 1)
                assert written(view, "recordings") <= kept + 3, "sealed, the same holds"

    run(main())
    found = json.loads(play(gateways, "garden", "--json").stderr)
    assert found["generations"][0]["proved_until_ns"] is not None
    assert found["missing"] >= 36


def test_a_stream_too_many_is_refused_in_words(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            device = await enrolled(view)
            await view.limit("garden", {"streams": 2})
            async with device.connected():
                device.ask("one", "two", "three")
                refused = await device.wait_for(ev.StreamRefused)
                assert (refused.stream_id, refused.reason) == ("three", "busy")
                assert {e.generation.metadata.id for e in device.started} == {"one", "two"}
                assert "'three'" in alarms(view)["limit_streams"]
                await device.open("one")  # again is no more
                device.ask("four")
                refused = await device.wait_for(ev.StreamRefused, since=len(device.events))
                assert (refused.stream_id, refused.reason) == ("four", "busy")
                await view.limit("garden", {"streams": None})
                await until(lambda: alarms(view) == {}, what="the end of the alarm")
                await device.open("three")

    run(main())


def test_limits_and_tags_hold_after_a_restart_and_a_new_enrolment(
    gateways: GatewayFactory,
) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            await enrolled(view)
            await view.limit("garden", {"frames_per_s": 2})
            await view.tag("garden", add=("south", "greenhouse"))
            with pytest.raises(TicksealError, match="no device 'x'"):
                await view.tag("x", add=("south",))
        async with gateways.inside() as view:
            (row,) = view.snapshot()["devices"]
            assert row["tags"] == ["greenhouse", "south"]
            assert row["limits"] == {"frames_per_s": 2}

    run(main())


def test_commands_tag_limit_and_list_without_a_running_gateway(gateways: GatewayFactory) -> None:
    async def main() -> None:
        async with gateways.inside() as view:
            await enrolled(view)

    run(main())
    assert gateways.command("tag", "garden", "+greenhouse", "old").stdout == (
        "garden: greenhouse old\n"
    )
    done = gateways.command("tag", "garden", "-old", "+cold", "--json")
    assert json.loads(done.stdout) == ["cold", "greenhouse"]
    assert gateways.command("tag", "garden", "-cold").stdout == "garden: greenhouse\n"
    gateways.command("tag", "garden", "+south")
    done = gateways.command("tag", "garden", "-south")
    assert done.stdout == "garden: greenhouse\n", "the h in it asks for no help"
    assert "is no tag" in gateways.command("tag", "garden", "+Nope").stderr
    done = gateways.command("limit", "garden", "--rate", "100kB", "--streams", "4")
    assert done.stdout == "garden: 4 streams, 100kB/s\n"
    assert gateways.command("limit", "garden", "--rate", "none").stdout == "garden: 4 streams\n"
    assert gateways.command("limit", "garden").stdout == "garden: 4 streams\n"
    assert gateways.command("limit", "garden", "--frames", "x").returncode == 1
    assert "garden" in gateways.command("devices", "--tag", "greenhouse").stdout
    none = gateways.command("devices", "--tag", "cellar").stdout
    assert none == "no device has the tag cellar\n"


def test_the_recordings_of_one_device_keep_within_its_limit(tmp_path: Path) -> None:
    made = Recorded(tmp_path)
    for hour in range(4):
        made.record("shed/air", seconds(hour * 3600, hour * 3600 + 60))
        made.record("yard/air", seconds(hour * 3600, hour * 3600 + 60))
    (shed, yard) = made.library.streams()
    told: list[str] = []
    limit = (shed.size + 4 * FILE_BYTES) * 3 // 5
    quota = Quota(
        device="shed",
        handles=frozenset(file.handle for file in shed.files),
        size_most=limit,
    )
    shelf = Shelf(
        tmp_path,
        retention_ns=0,
        size_most=1 << 40,
        quotas=lambda: [quota],
        over_quota=lambda one: told.append(one.device),
    )
    gone = shelf.drop_old(START + 5 * 3600 * SECOND)
    assert len(gone) == 2
    assert told == ["shed"]
    (after, other) = made.library.streams()
    assert after.size + 2 * FILE_BYTES <= limit
    assert after.files == shed.files[2:], "the oldest go"
    assert other.files == yard.files, "and no other device's"
    tight = Shelf(
        tmp_path,
        retention_ns=0,
        size_most=1 << 40,
        quotas=lambda: [Quota(device="shed", handles=quota.handles, size_most=1)],
    )
    tight.drop_old(START + 5 * 3600 * SECOND)
    assert made.library.find("shed/air").files == shed.files[3:], "what is written now stays"
