"""A pool of connections that is used up."""

from contextlib import ExitStack

import pytest

from nas.store import open_store
from nas.store.database import PoolSettings
from nas.store.errors import StoreUnavailableError


@pytest.mark.parametrize("connections", [1, 7])
def test_who_gets_no_connection_is_told_to_come_again(store_url: str, connections: int) -> None:
    with open_store(store_url, pool=PoolSettings(connections=connections, wait_s=0.01)) as store:
        with ExitStack() as stack:
            for _ in range(connections):
                stack.enter_context(store.database.engine.connect())
            with pytest.raises(StoreUnavailableError, match=f"all {connections} connections"):
                store.devices.all()
        assert store.devices.all() == ()
