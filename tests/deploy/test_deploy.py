"""What ``deploy/`` says can be done: files follow their schemas, and commands exist with their options."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from nas.cli.main import register_commands

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SERVICE_KEYS = {
    "image", "build", "environment", "volumes", "depends_on", "cap_drop", "security_opt", "restart", "healthcheck",
    "command", "ports", "stop_grace_period",
}  # fmt: skip
"""Keys of a compose service that are used here (compose-spec)."""


def _parse(words: list[str], token: Path) -> None:
    """Parses a command as the program would; an unknown command or option fails."""
    words = [str(token) if word.endswith(("/token", "/hwnas-agent-token")) else word for word in words]
    command: Any = typer.main.get_command(register_commands())
    context = command.make_context("hwnas", words, allow_extra_args=True, ignore_unknown_options=False)
    rest = [*context._protected_args, *context.args]
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
        rest = [*context._protected_args, *context.args]


def _compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return document


def _objects() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text("utf-8"))


def _pods() -> Iterator[dict[str, Any]]:
    for entry in _objects():
        if entry["kind"] in ("Deployment", "StatefulSet"):
            yield entry


def _found(pattern: str, text: str) -> str:
    """The group of the first line that matches."""
    match = re.search(pattern, text, re.MULTILINE)
    assert match is not None, pattern
    return match[1]


def _container_commands(stage: str) -> list[str]:
    """Words of CMD of a stage of the Containerfile."""
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    part = text.split(f" AS {stage}\n")[1].split("\nFROM ")[0]
    words: list[str] = json.loads(_found(r"^CMD (.*)$", part))
    return words


def _commands() -> Iterator[list[str]]:
    yield from (_container_commands(stage) for stage in ("agent", "service"))
    for service in _compose()["services"].values():
        if service["image"] == "hwnas":
            yield service["command"]
    for pod in _pods():
        yield from (one["args"] for one in pod["spec"]["template"]["spec"]["containers"] if one["image"] == "hwnas")
    for unit in UNITS:
        yield shlex.split(_found(r"^ExecStart=/opt/hwnas/bin/hwnas (.*)$", unit.read_text()))
    for line in (ROOT / "docs" / "deploy.md").read_text("utf-8").splitlines():
        if match := re.match(r"(?:hwnas|docker compose .* service|.*-c worker -- hwnas) (?=keys|db)(.*)", line):
            yield shlex.split(match[1], comments=True)


@pytest.mark.parametrize("words", list(_commands()), ids=" ".join)
def test_commands_exist_with_their_options(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_SERVER", "https://service")
    (tmp_path / "token").touch()
    _parse(words, tmp_path / "token")


def test_a_wrong_option_would_be_found(tmp_path: Path) -> None:
    for words in (["serve", "--prot", "1"], ["sevre"], ["keys", "make", "x"]):
        with pytest.raises(Exception, match=r"(?i)no such"):
            _parse(words, tmp_path)


def test_environment_variables_are_those_of_the_program() -> None:
    code = "\n".join(
        path.read_text("utf-8") for room in ("nas", "api", "hw_profiles") for path in (ROOT / room).rglob("*.py")
    )
    known = set(re.findall(r"\bHWNAS_[A-Z_]+\b", code))
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    named = {name for path in files for name in re.findall(r"\bHWNAS_[A-Z_]+\b", path.read_text("utf-8"))}
    assert named - known == {"HWNAS_POSTGRES_PASSWORD"}


def test_the_compose_file_is_whole() -> None:
    compose = _compose()
    assert set(compose) == {"name", "x-hwnas", "services", "volumes"}
    for service in compose["services"].values():
        assert set(service) <= SERVICE_KEYS
        for other, condition in service.get("depends_on", {}).items():
            assert "healthcheck" in compose["services"][other]
            assert condition == {"condition": "service_healthy"}
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(compose["volumes"])
    build = compose["services"]["service"]["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


def test_the_images_hold_every_package_and_take_extras_that_exist() -> None:
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()}
    assert all((ROOT / word).exists() for word in copied)
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= copied
    extras = {name for found in re.findall(r"'\.\[(.*?)\]'", text) for name in found.split(",")}
    assert extras == {"agent", "full", "postgresql"}
    assert extras <= set(project["project"]["optional-dependencies"])


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_follow_the_schemas_of_kubernetes(path: Path) -> None:
    for entry in yaml.safe_load_all(path.read_text("utf-8")):
        kubernetes_validate.validate(entry, "1.32", strict=True)


def test_a_wrong_manifest_would_be_found() -> None:
    entry = next(_pods())
    entry["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(entry, "1.32", strict=True)


def test_manifests_refer_to_what_is_there() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text("utf-8"))["resources"]
    assert sorted(listed) == [path.name for path in MANIFESTS]
    claims = {entry["metadata"]["name"] for entry in _objects() if entry["kind"] == "PersistentVolumeClaim"}
    services = {entry["metadata"]["name"]: entry["spec"] for entry in _objects() if entry["kind"] == "Service"}
    for entry in _pods():
        spec, pod = entry["spec"], entry["spec"]["template"]["spec"]
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"] == labels
        volumes = {volume["name"] for volume in pod.get("volumes", ())}
        volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", ())}
        used = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod.get("volumes", ())
            if len(volume) > 1 and "persistentVolumeClaim" in volume
        }
        assert used <= claims
        ports = {port["name"] for one in pod["containers"] for port in one.get("ports", ())}
        selecting = [service for service in services.values() if service["selector"].items() <= labels.items()]
        assert selecting
        assert {port["targetPort"] for service in selecting for port in service["ports"]} <= ports
        for one in pod["containers"]:
            assert {mount["name"] for mount in one["volumeMounts"]} <= volumes
            probes = [
                one[name]["httpGet"]
                for name in ("startupProbe", "livenessProbe", "readinessProbe")
                if "httpGet" in one.get(name, {})
            ]
            assert {probe["port"] for probe in probes} <= ports
            assert {probe["path"] for probe in probes} <= {"/livez", "/readyz"}
            assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            secrets = {value["valueFrom"]["secretKeyRef"]["name"] for value in one["env"] if "valueFrom" in value}
            assert secrets == {"hwnas-database"}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_the_manifests() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes")], capture_output=True, text=True, check=True
    )
    built = [entry for entry in yaml.safe_load_all(done.stdout) if entry["kind"] != "Namespace"]
    assert len(built) + 1 == len(list(_objects()))
    assert {entry["metadata"]["namespace"] for entry in built} == {"hwnas"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_units_are_accepted_by_systemd(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text("utf-8").replace("/opt/hwnas/bin/hwnas", "/bin/true")
    (tmp_path / unit.name).write_text(text, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / unit.name], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, []), done.stderr
