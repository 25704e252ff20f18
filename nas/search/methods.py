"""The names of the search methods: the same for the command line, the service and the loop."""

from typing import Final, Literal, get_args

Method = Literal["hwnas", "linas", "nsga2", "tpe", "random", "architecture_then_policy", "integer_programming"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
ARCHITECTURE_THEN_POLICY: Final[Literal["architecture_then_policy"]] = "architecture_then_policy"
INTEGER_PROGRAMMING: Final[Literal["integer_programming"]] = "integer_programming"
STAGED_METHODS: Final = (ARCHITECTURE_THEN_POLICY, INTEGER_PROGRAMMING)
"""Baselines that choose the architecture first and its policy afterwards."""
GUIDED_METHODS: Final = ("hwnas", *STAGED_METHODS)
"""Methods that begin with the design and look accuracies up."""

OPTUNA_METHODS: Final[tuple[Method, ...]] = ("nsga2", "tpe")
"""Methods whose samplers are Optuna's own; they do not avoid what they proposed before."""
