"""Memberships are asked for once, asserted to a new broker, and withdrawn when they are left."""

import pytest
from tests.adapters.hand import Hand

from lanebus.adapters.memberships import Memberships
from lanebus.wire.kinds import Kind
from lanebus.wire.messages import Done


class Scene:
    """An attachment, and the joins it made."""

    def __init__(self) -> None:
        self.hand = Hand().up()
        self.touched = 0
        self.memberships = Memberships(self.hand.core, self.touch)

    def touch(self) -> None:
        self.touched += 1

    def asked(self) -> list[tuple[Kind, str, str]]:
        """The requests since the last call."""
        return [(kind, message.group, message.member) for _, kind, message in self.hand.sent()]

    def asserted(self) -> list[str]:
        return [request.what for request in self.hand.core.requests.assertions]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_membership_is_asserted_until_it_is_left(scene: Scene) -> None:
    for _ in range(2):
        scene.memberships.join("room", "player:1")
    scene.memberships.join("room", "player:2")
    assert scene.asked() == [
        (Kind.JOIN, "room", "player:1"),
        (Kind.JOIN, "room", "player:1"),
        (Kind.JOIN, "room", "player:2"),
    ]
    assert scene.asserted() == ["putting player:1 into group room", "putting player:2 into group room"]
    scene.memberships.leave("room", "player:1")
    assert scene.asked() == [(Kind.LEAVE, "room", "player:1")]
    assert scene.asserted() == ["putting player:2 into group room"]
    assert scene.touched == 4


def test_memberships_of_who_is_gone_are_not_asserted(scene: Scene) -> None:
    scene.memberships.join("room", "player:1")
    scene.memberships.forget()
    assert scene.asserted() == []


def test_the_broker_says_who_is_gone_and_only_what_it_has_answered_is_over(scene: Scene) -> None:
    for group, who in (("room", "player:1"), ("hall", "player:1"), ("room", "player:2")):
        scene.memberships.join(group, who)
    for number in (1, 3):
        scene.hand.core.requests.done(Done(request=number))
    scene.memberships.gone(["player:1", "player:2", "player:3"])
    assert scene.asserted() == ["putting player:1 into group hall"]
    assert len(scene.memberships) == 1
    scene.hand.core.requests.done(Done(request=2))
    scene.memberships.gone(["player:1"])
    assert scene.asserted() == []


def test_a_name_that_no_group_can_have_is_refused(scene: Scene) -> None:
    for change in (scene.memberships.join, scene.memberships.leave):
        with pytest.raises(ValueError, match="cannot name a group"):
            change("two words", "player:1")
    assert scene.asked() == []


def test_a_membership_that_the_broker_refuses_is_kept_nowhere_unless_it_was_asked_for_again(
    scene: Scene,
) -> None:
    scene.memberships.join("room", "player:1")
    scene.memberships.join("room", "player:2")
    scene.memberships.join("room", "player:2")
    for request in (1, 2):
        scene.hand.say(Kind.DONE, Done(request=request, error=501, detail="no session"))
    assert len(scene.memberships) == 1
    assert scene.asserted() == ["putting player:2 into group room"]
    scene.hand.say(Kind.DONE, Done(request=3))
    assert len(scene.memberships) == 1
