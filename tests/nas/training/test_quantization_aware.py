"""Networks that train on with rounded values, from their start to the graph that ships."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.families.registry import build_supernet
from nas.networks.weight_files import load_network
from nas.quantization.onnx_export import ExportError, capture, export_onnx
from nas.quantization.static_quantization import QuantizableGraph
from nas.quantization.trained_quantization import SCALES_FILE, TrainedQuantization
from nas.training.finish_settings import FinishSettings
from nas.training.finishing import finish_plans, quantization_aware_plans
from nas.training.interruption import TrainingInterruptedError
from nas.training.network_training import WEIGHTS_FILE, train_networks, try_train_networks
from tests.nas.training.test_network_training import GENOTYPES, PREPARED, SETTINGS, assert_equal_weights, context_in
from tests.nas.training.test_trainer import SPACE

FINISH = FinishSettings(epochs=1.0, quantized_share=0.5, quantized_rate_share=0.5)
POLICY = SPACE.with_policy(GENOTYPES[0], "int8")


@pytest.fixture(scope="module")
def supernet():
    return build_supernet(SPACE, seed=1)


@pytest.fixture
def context(tmp_path, supernet):
    """With the finished float network of the smallest architecture."""
    context = context_in(tmp_path, supernet=supernet, supernet_id="s")
    train_networks(finish_plans([SPACE.unquantized(POLICY)], SETTINGS, FINISH, context), context)
    return context


def plans_in(context, genotype=POLICY):
    return quantization_aware_plans([genotype], SETTINGS, FINISH, context)


def integer_graph(folder, network, quantization):
    program = capture(network, torch.from_numpy(PREPARED.recalibration_images[:1]))
    export_onnx(program, network.units, folder / "float.onnx", task=SPACE.task)
    QuantizableGraph.trained(folder / "float.onnx", quantization).write(network.precisions, folder / "integer.onnx")
    return folder / "integer.onnx"


def test_the_integer_graph_computes_what_was_trained(context, tmp_path):
    plans = plans_in(context)
    (network,) = train_networks(plans, context)
    folder = context.plan_folder(plans[0])
    quantization = TrainedQuantization.load(folder / SCALES_FILE)
    assert network.folded
    assert set(network.precisions.values()) == {"int8"}
    images = PREPARED.recalibration_images[:64]
    quantization.require_outputs(integer_graph(tmp_path, network, quantization), images)
    started = load_network(SPACE, context.plan_folder(plans[0].quantized_from) / WEIGHTS_FILE).fold_batch_norm()
    moved = [not a.equal(b) for a, b in zip(network.parameters(), started.parameters(), strict=True)]
    assert all(moved)
    # Weights of before the training give another graph.
    before = load_network(SPACE, folder / WEIGHTS_FILE)
    before.load_state_dict({name: 0.7 * value for name, value in network.state_dict().items()})
    with pytest.raises(ExportError, match="not the network that was trained"):
        quantization.require_outputs(integer_graph(tmp_path, before, quantization), images)


def test_an_interrupted_training_resumes_to_the_same_bits(context):
    plans = plans_in(context)
    expected = train_networks(plans, context)
    (context.plan_folder(plans[0]) / WEIGHTS_FILE).unlink()

    def stop(done, _total):
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterruptedError, match="after step 2 of"):
        train_networks(plans, replace(context, on_progress=stop))
    assert_equal_weights(train_networks(plans, context), expected)


def test_a_network_that_cannot_be_quantized_is_an_error_in_its_place(context):
    """A policy that quantizes nothing, which no search chooses, stands for any."""
    good, bad = plans_in(context)[0], plans_in(context, SPACE.unquantized(POLICY))[0]
    error, network = try_train_networks([bad, good], context)
    assert "quantizes no operator" in str(error)
    assert network.folded
    with pytest.raises(ExportError, match="quantizes no operator"):
        train_networks([bad, good], context)


def test_policies_and_settings_have_folders_of_their_own(context):
    mixed = POLICY.copy()
    mixed[SPACE.policy_columns[0]] = 0
    other = quantization_aware_plans([POLICY], SETTINGS, replace(FINISH, quantized_rate_share=0.1), context)
    plans = [*plans_in(context), *plans_in(context, SPACE.canonical_row(mixed)), *other]
    floats = finish_plans([SPACE.unquantized(POLICY)], SETTINGS, FINISH, context)
    assert len({context.plan_folder(plan) for plan in (*plans, *floats)}) == 4
    assert np.array_equal(plans[0].quantized_from.genotype, floats[0].genotype)
