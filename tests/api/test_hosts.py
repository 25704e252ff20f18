"""``local-cpu`` over HTTP is the host that the service runs on."""

from dataclasses import replace

import httpx
import pytest

from api.server import running
from nas.home import Home
from nas.store import open_store
from tests.nas.store.rows import PROFILE, SPACE, put_supernet


def test_local_cpu_is_a_device_of_the_services_host(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_HOST", "alpha")
    with open_store(tmp_path / "hwnas.db") as store:
        for host in ("alpha", "beta"):
            store.devices.put(replace(PROFILE, id=f"{host}/tvm", device=host))
        put_supernet(store)
        with running(store, Home(tmp_path)) as url, httpx.Client(base_url=url, timeout=60) as client:
            search = client.post("/v1/searches", json={"device": "local-cpu/tvm", "space": SPACE.name}).json()
            assert (search["device"], search["host"]) == ("alpha/tvm", "alpha")
            asked = {"space": SPACE.name, "budget": 5}
            here = client.post("/v1/devices/local-cpu/tvm/calibrations", json=asked).json()
            there = client.post("/v1/devices/beta/tvm/calibrations", json=asked).json()
            assert [(one["device"], one["host"]) for one in (here, there)] == [
                ("alpha/tvm", "alpha"),
                ("beta/tvm", "beta"),
            ]
            found = client.get("/v1/calibrations", params={"device": "local-cpu/tvm"}).json()["calibrations"]
            assert [one["id"] for one in found] == [here["id"]]
            asked = asked | {"sources": ["local-cpu/tvm"]}
            refused = client.post("/v1/devices/alpha/tvm/calibrations", json=asked)
            assert "cannot be a source of its own" in refused.json()["detail"]
