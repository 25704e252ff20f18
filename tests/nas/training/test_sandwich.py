from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.nn import functional

from nas.families.registry import build_supernet
from nas.training.sandwich import StepLoss, first_student_step, sandwich_gradients, step_subnets
from nas.training.settings import TrainingSettings
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")


def test_students_depend_on_seed_and_step_alone():
    settings = TrainingSettings(random_subnets=3, seed=4)
    first, again, other = (np.array(step_subnets(SPACE, settings, step, 10)) for step in (1, 1, 2))
    assert (first == again).all()
    assert (first[0] == SPACE.smallest()).all()
    assert (first[1:] != other[1:]).any()


def test_the_largest_trains_alone_first():
    settings = TrainingSettings(largest_first_share=0.3)
    assert first_student_step(settings, 10) == 3
    counts = [len(step_subnets(SPACE, settings, step, 10)) for step in range(10)]
    assert counts == [0] * 3 + [3] * 7


@pytest.mark.parametrize("label_share", [0.0, 0.25, 1.0])
def test_gradients_are_the_sum_of_the_largest_on_labels_and_students_on_its_logits(label_share):
    torch.manual_seed(0)
    images, labels = torch.randn(6, 1, 28, 28), torch.arange(6)
    students = [SPACE.smallest(), SPACE.sample(1, np.random.default_rng(0))[0]]
    found = build_supernet(SPACE, seed=1)
    loss = sandwich_gradients(found, images, labels, students, StepLoss(label_smoothing=0.1, label_share=label_share))
    expected = build_supernet(SPACE, seed=1).train()
    logits = expected(images)
    total = functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert loss == total.item()
    for genotype in students:
        with expected.use(genotype):
            log_student = expected(images).log_softmax(1)
        targets = (1 - label_share) * logits.detach().softmax(1) + label_share * torch.eye(10)[labels]
        total = total - (targets * log_student).sum(1).mean()
    total.backward()
    for (name, a), b in zip(found.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_dropout_follows_its_seed_and_leaves_the_global_generator_alone():
    images, labels = torch.randn(6, 1, 28, 28), torch.arange(6)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    losses = []
    for seed in (1, 1, 2):
        supernet = build_supernet(SPACE, seed=1)
        losses.append(sandwich_gradients(supernet, images, labels, [], StepLoss(dropout=0.5, dropout_seed=seed)))
    assert losses[0] == losses[1] != losses[2]
    assert torch.get_rng_state().equal(before)


def test_threads_change_nothing():
    images, labels = torch.randn(6, 1, 28, 28), torch.arange(6)
    students = list(SPACE.sample(3, np.random.default_rng(0)))
    gradients = []
    for workers in (1, 4):
        supernet = build_supernet(SPACE, seed=1)
        with ThreadPoolExecutor(max_workers=workers) as threads:
            sandwich_gradients(supernet, images, labels, students, StepLoss(dropout=0.1), threads)
        gradients.append([parameter.grad for parameter in supernet.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert (a is None and b is None) or a.equal(b)
