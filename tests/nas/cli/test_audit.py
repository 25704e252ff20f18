"""``hwnas audit``."""


def test_keys_and_agents_are_recorded(hwnas):
    key = hwnas.json("keys", "create", "notebook", "--tenant", "vision")
    hwnas.json("keys", "revoke", key["id"])
    hwnas.json("agents", "create", "lab")
    hwnas.json("agents", "revoke", "lab")
    entries = hwnas.json("audit")
    assert [(one["action"], one["subject"]) for one in entries] == [
        ("revoke agent", "lab"),
        ("create agent", "lab"),
        ("revoke key", key["id"]),
        ("create key", key["id"]),
    ]
    assert all("@" in one["actor"] for one in entries)
    assert entries[-1]["tenant"] == "vision"
    assert len(hwnas.json("audit", "--count", "1")) == 1
    assert hwnas.json("audit", "--since", "2999-01-01") == []
    code, out, _ = hwnas("audit")
    assert code == 0
    assert "revoke agent" in out
