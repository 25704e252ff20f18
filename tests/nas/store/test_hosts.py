"""Hosts that share a database: one machine per name, one home for all."""

import pytest

from nas.store import Store
from nas.store.errors import HomeNotSharedError, HostNameTakenError
from nas.store.hosts import HOST_ALIVE_S
from tests.databases import SteppedClock


def test_a_host_is_seen_until_it_is_silent(store: Store, clock: SteppedClock) -> None:
    store.hosts.announce("alpha", machine="one", home="h")
    store.hosts.announce("beta", machine="two", home="h")
    clock.forward(HOST_ALIVE_S - 1)
    store.hosts.announce("alpha", machine="one", home="h")
    assert [host.name for host in store.hosts.alive()] == ["alpha", "beta"]
    clock.forward(2)
    assert [(host.name, host.machine) for host in store.hosts.alive()] == [("alpha", "one")]


def test_two_machines_of_one_name_do_not_work_at_once(store: Store, clock: SteppedClock) -> None:
    store.hosts.announce("local-cpu", machine="one", home="h")
    store.hosts.check("local-cpu", machine="one")
    for ask in (
        lambda: store.hosts.announce("local-cpu", machine="two", home="h"),
        lambda: store.hosts.check("local-cpu", machine="two"),
    ):
        with pytest.raises(HostNameTakenError, match="set HWNAS_HOST to a name of its own on each host"):
            ask()
    clock.forward(HOST_ALIVE_S + 1)
    store.hosts.announce("local-cpu", machine="two", home="h")


def test_a_host_cannot_have_the_name_of_an_agent(store: Store) -> None:
    store.agents.create("phone")
    with pytest.raises(HostNameTakenError, match="an agent is called 'phone'"):
        store.hosts.announce("phone", machine="one", home="h")


def test_hosts_of_one_database_share_a_home(store: Store, clock: SteppedClock) -> None:
    store.hosts.announce("alpha", machine="one", home="h")
    with pytest.raises(HomeNotSharedError, match="not that of host 'alpha'"):
        store.hosts.announce("beta", machine="two", home="other")
    clock.forward(HOST_ALIVE_S + 1)
    store.hosts.announce("beta", machine="two", home="other")
