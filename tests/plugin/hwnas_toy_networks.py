"""The toy family's networks; imported where one is built, since torch takes seconds."""

import torch
from hwnas_toy import DEPTHS, WIDTHS
from torch import nn

from nas.networks.layers import ConvUnit, global_mean
from nas.networks.network import UnitNetwork
from nas.supernet.elastic_linear import ElasticLinear
from nas.supernet.elastic_units import ElasticConvUnit
from nas.supernet.extraction import copy_weights
from nas.supernet.supernet import Supernet


class ToyHead(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.classifier = nn.Linear(width, classes)

    def forward(self, x):
        return self.classifier(global_mean(x))


class ToyNetwork(UnitNetwork):
    def __init__(self, space, genotype):
        super().__init__(space, genotype)
        width = WIDTHS[self.genotype[0]]
        self.add_unit("stem", ConvUnit(space.image.channels, width, activation="relu", kernel=3, stride=2))
        for number in range(1, DEPTHS[self.genotype[1]] + 1):
            self.add_unit(f"layer{number}", ConvUnit(width, width, activation="relu", kernel=3))
        self.add_unit("head", ToyHead(width, space.task.classes))


class ToySupernet(Supernet):
    def __init__(self, space, *, seed=0):
        super().__init__(space)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = ElasticConvUnit(space.image.channels, WIDTHS[-1], kernel=3, stride=2)
            for number in DEPTHS:
                self.add_module(f"layer{number}", ElasticConvUnit(WIDTHS[-1], WIDTHS[-1], kernel=3))
            self.classifier = ElasticLinear(WIDTHS[-1], space.task.classes)

    def forward_as(self, genotype, images, dropout=0.0):
        width = WIDTHS[genotype[0]]
        x = self.stem(images, width, "relu")
        for number in range(1, DEPTHS[genotype[1]] + 1):
            x = self.get_submodule(f"layer{number}")(x, width, "relu")
        features = nn.functional.dropout(x.mean((2, 3)), dropout, self.training)
        return self.classifier(features, self.space.task.classes)

    def extract(self, genotype):
        network = ToyNetwork(self.space, genotype)
        for unit in network.units[:-1]:
            copy_weights(self.get_submodule(unit), network.unit(unit))
        copy_weights(self.classifier, network.head.classifier)
        return network.eval()
