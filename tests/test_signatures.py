"""No public function takes more than six parameters: what belongs together is a context or settings dataclass."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("search_spaces", "hw_profiles", "predictors", "nas", "api")
ROOT = Path(__file__).parent.parent
MOST = 6


def public_functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Public module functions and public methods (``__init__`` too) of public classes, by qualified name."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield f"{module}.{node.name}", node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and (
                    member.name == "__init__" or not member.name.startswith("_")
                ):
                    yield f"{module}.{node.name}.{member.name}", member


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether every parameter is annotated as a command's option or a route's: those mirror what users type."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    names = {ast.unparse(argument.annotation) for argument in arguments if argument.annotation is not None}
    return any(name.startswith("Annotated[") for name in names)


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def test_public_functions_take_six_parameters_at_most():
    found = {
        name: parameters(function)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for name, function in public_functions(path)
        if parameters(function) > MOST and not is_command(function)
    }
    assert not found, "bundle what belongs together in a dataclass"
