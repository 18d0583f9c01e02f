"""Whose turns a question takes and how urgent it may be."""

import pytest

from protocol.messages import ResponseCreate
from server.endpoints.principals import OPERATOR, Principal
from server.endpoints.priorities import standing_of


def asked(priority=None):
    metadata = {} if priority is None else {"priority": priority}
    return ResponseCreate(input="?", product_id="p", metadata=metadata)


@pytest.mark.parametrize(
    ("role", "wish", "granted"),
    [
        ("user", None, "normal"),
        ("user", "low", "low"),
        ("user", "high", "normal"),
        ("user", "critical", "normal"),
        ("viewer", "high", "normal"),
        ("annotator", "high", "high"),
        ("annotator", "critical", "high"),
        ("admin", "critical", "critical"),
        ("admin", "low", "low"),
        ("admin", None, "normal"),
        ("admin", "P1", "normal"),
    ],
)
def test_a_class_is_asked_for_and_granted_as_far_as_the_role_goes(role, wish, granted):
    standing = standing_of(asked(wish), Principal("key", role, "acme"), "sess_1")
    assert (standing.client, standing.priority) == ("acme/key", granted)


@pytest.mark.parametrize("principal", [OPERATOR, None])
def test_without_keys_nobody_goes_first_and_each_connection_has_its_turn(principal):
    standing = standing_of(asked("critical"), principal, "sess_1")
    assert (standing.client, standing.priority) == ("sess_1", "normal")
    assert standing_of(asked("low"), principal, "sess_2").priority == "low"
