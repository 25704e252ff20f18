"""Agents on the command line; tests/nas/measuring has them at work."""

import pytest

from hw_profiles.agent.tokens import AgentToken


def test_an_agent_is_created_listed_and_revoked(hwnas):
    created = hwnas.json("agents", "create", "phone")
    token = AgentToken.parse(created["token"])
    (listed,) = hwnas.json("agents", "list")
    assert listed == {
        "name": "phone", "state": "never connected", "last_seen": None, "version": None, "confinement": None,
        "processor": None, "devices": [],
    }  # fmt: skip
    code, out, _ = hwnas("agents", "list")
    assert code == 0
    assert "phone" in out
    assert token.reveal() not in out
    code, _, err = hwnas("agents", "create", "phone")
    assert (code, "already" in err) == (1, True)
    hwnas.json("agents", "revoke", "phone")
    assert [row["state"] for row in hwnas.json("agents", "list")] == ["revoked"]


def test_the_token_is_the_first_line_and_printed_with_what_to_do(hwnas):
    code, out, _ = hwnas("agents", "create", "phone")
    token, advice = out.splitlines()
    assert code == 0
    assert AgentToken.parse(token).reveal() == token
    assert "hwnas agent --server" in advice


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "needs its token"),
        (("--token", "secret"), "hwnas agents create"),
        (("--token", AgentToken.new().reveal(), "--server", "phone"), "not the address of a service"),
    ],
)
def test_what_an_agent_cannot_start_with(hwnas, arguments, message):
    server = () if "--server" in arguments else ("--server", "http://127.0.0.1:1")
    assert message in hwnas.refused("agent", *server, *arguments)


def test_a_name_that_no_device_can_have(hwnas):
    assert "cannot be an agent's name" in hwnas.refused("agents", "create", "local-cpu")
