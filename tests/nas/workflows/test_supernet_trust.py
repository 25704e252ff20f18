"""What a training says of its networks' accuracies, before and after they were compared with networks alone."""

import json
import shlex

from nas.workflows.supernet_trust import BENCHMARK_FILE

TRAINING = ("--epochs", 1, "--threads", 2, "--seed", 7, "--flip", "--optimizer", "adamw", "--batch-size", 48)


def test_the_trust_in_a_supernet_is_what_was_measured_of_it(hwnas, small_data):
    arguments = ("train", "--data", f"npz:{small_data}", *TRAINING)
    before = hwnas.json(*arguments)
    trust = before["trust"]
    assert trust["images_val"] == 59
    for name in ("smallest", "middle", "largest"):
        reading = trust["networks"][name]
        low, high = reading["interval_90"]
        assert 0 <= low <= reading["accuracy"] <= high <= 1
        assert reading["accuracy"] == before["metrics"][f"accuracy_{name}"]
    assert trust["inherited_against_alone"] is None
    _, output, _ = hwnas(*arguments)
    assert "has not been measured for this supernet" in output
    assert trust["benchmark_command"] in output
    # The command that it names measures this very supernet.
    program, *command = shlex.split(trust["benchmark_command"])
    assert program == "hwnas"
    found = hwnas.json(*command, "--networks", 3, "--rate-factors", "1", "--finish-epochs", 0, "--threads", 2)
    assert found["supernet"] == before["supernet"]
    alone = hwnas.json(*arguments)["trust"]["inherited_against_alone"]
    assert alone["networks"] == 3
    assert alone["images_test"] == 100
    assert alone["mean_gap"] == found["gap_test"]
    _, output, _ = hwnas(*arguments)
    assert f"{found['worst_gap_test'] * 100:.1f} at worst" in output
    # A benchmark of other weights is not this supernet's.
    (path,) = (p for p in hwnas.home.glob(f"supernets/*/{BENCHMARK_FILE}") if before["supernet"] in p.read_text())
    path.write_text(json.dumps(found | {"supernet": "0" * 64}))
    assert hwnas.json(*arguments)["trust"]["inherited_against_alone"] is None
