"""What Home Assistant is told: names that read well, units that it takes, states that it can keep.

Each of these was seen in Home Assistant 2026.2.3 itself.
"""

import jinja2
from home_assistant_schema import check_device_discovery
from tickseal_gateway.outputs.home_assistant import _CLASSES, Entity, Topics, discovery

TOPICS = Topics("tickseal")


def component(entity: Entity, device: str = "garden") -> dict[str, object]:
    told = discovery(device, [entity], TOPICS)
    check_device_discovery(told)
    return next(iter(told["components"].values()))  # type: ignore[attr-defined, no-any-return]


def test_every_unit_is_one_that_its_class_takes_as_a_measurement() -> None:
    entities = [
        Entity(stream="garden/all", name=str(number), kind="number", unit=unit)
        for number, unit in enumerate([*_CLASSES, "pH", "1/min", None])
    ]
    check_device_discovery(discovery("garden", entities, TOPICS))


def test_the_name_of_a_device_is_not_said_twice() -> None:
    named = component(Entity(stream="garden/host", name="cpu/load", kind="number"))["name"]
    assert named == "host cpu/load"
    assert component(Entity(stream="garden/camera", name="", kind="picture"))["name"] == "camera"
    other = component(Entity(stream="garden/host", name="t", kind="number"), device="shed")["name"]
    assert other == "garden/host t"


def shown(kind: str, value: object) -> str:
    template = component(Entity(stream="garden/door", name="x", kind=kind))["value_template"]
    return jinja2.Template(str(template)).render(value_json={"value": value})


def test_a_text_is_cut_to_what_a_state_may_be() -> None:
    assert shown("text", "x" * 400) == "x" * 255
    assert shown("text", None) == "None"
    assert shown("number", 20.5) == "20.5"


def test_a_truth_that_is_not_known_is_neither_on_nor_off() -> None:
    assert [shown("truth", value) for value in (True, False, None)] == ["ON", "OFF", "None"]
