"""The recipes that need no proxy: every file is well-formed, and names only settings, pages, files and flags that exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request

import pytest
import yaml

from cloudlink.cli import all_parsers
from cloudlink.http import pages
from cloudlink.settings import OPTIONS, Settings
from cloudlink.sources import load
from tests.deploy.tools import DEPLOY, ROOT, tool
from tests.support.process import ServerProcess

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
COMPOSE = DEPLOY / "docker" / "compose.yaml"
UNIT = DEPLOY / "systemd" / "cloudlink.service"
MANIFEST = DEPLOY / "kubernetes" / "cloudlink.yaml"
RENDER = DEPLOY / "hosts" / "render.yaml"
WINDOWS = DEPLOY / "windows" / "install.ps1"
HEALTH = "/health"
LONGEST_STOP = Settings().shutdown_timeout + 5
"""Seconds in which a server certainly stops by itself."""


def understood(words):
    """Parse a command as the command line does, and check its settings."""
    if words[0].endswith("cloudlink"):
        words = words[1:]
    arguments, unknown = all_parsers()[words[0]].parse_known_args(words[1:])
    assert unknown == []
    return arguments


def settings_of(variables):
    """The settings that environment variables give; each variable must be of one."""
    known = {name for option in OPTIONS.values() for name in option.variables}
    assert {name for name in variables if name.startswith("CLOUDLINK_")} <= known
    return load(toml=None, environ=variables, flags={})


# Containers.


def instructions(text):
    """The instructions of a Dockerfile, with continued lines joined: keyword and rest."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


@pytest.fixture
def dockerfile():
    return instructions(DOCKERFILE.read_text(encoding="utf-8"))


def environment(dockerfile):
    [text] = [rest for keyword, rest in dockerfile if keyword == "ENV"]
    return dict(word.split("=", 1) for word in shlex.split(text))


def test_the_image_follows_the_rules(dockerfile):
    bases = [rest.split()[0] for keyword, rest in dockerfile if keyword == "FROM"]
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", bases[0])
    last_stage = dockerfile[max(i for i, (keyword, _) in enumerate(dockerfile) if keyword == "FROM") :]
    keywords = [keyword for keyword, _ in last_stage]
    assert [rest for keyword, rest in last_stage if keyword == "USER"] == ["10001:10001"]
    assert keywords.index("USER") < keywords.index("CMD")
    assert "ADD" not in keywords
    assert {"HEALTHCHECK", "EXPOSE", "VOLUME", "STOPSIGNAL"} <= set(keywords)
    for _, rest in (one for one in dockerfile if one[0] == "RUN"):
        assert "sudo" not in rest
        assert "pip install" not in rest or "--no-cache-dir" in rest
    for name in ("CMD", "HEALTHCHECK"):
        [rest] = [rest for keyword, rest in last_stage if keyword == name]
        assert json.loads(rest[rest.index("[") :])


def test_the_image_gets_all_files_that_the_package_needs(dockerfile):
    copied = [
        word
        for keyword, rest in dockerfile
        if keyword == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    ]
    assert all((ROOT / word).exists() for word in copied)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = {
        "pyproject.toml",
        "src",
        *re.findall(r'^(?:readme = "|license-files = \[")([^"]+)', project, re.MULTILINE),
    }
    needed |= {
        path.partition("/")[0] for path in re.findall(r'^"([^"]+)" = "cloudlink/', project, re.MULTILINE)
    }
    assert needed <= set(copied)
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8")
    assert set(re.findall(r"^!(.*)$", ignored, re.MULTILINE)) == set(copied)


def test_the_server_of_the_image_starts_and_is_healthy(dockerfile):
    variables = environment(dockerfile)
    assert settings_of(variables).host == "0.0.0.0"
    [command] = [json.loads(rest) for keyword, rest in dockerfile if keyword == "CMD"]
    understood(command)
    [check] = [rest for keyword, rest in dockerfile if keyword == "HEALTHCHECK"]
    _, *python = json.loads(check[check.index("[") :])
    with ServerProcess() as server:
        done = subprocess.run(
            [sys.executable, *python],
            env=os.environ | {"PORT": str(server.port)},
            check=False,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, *python], env=os.environ | {"PORT": "1"}, check=False, capture_output=True
    )
    assert done.returncode != 0


def test_compose():
    whole = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    services = whole["services"]
    ours, caddy = services["cloudlink"], services["caddy"]
    assert (COMPOSE.parent / ours["build"]["context"]).resolve() == ROOT
    assert (ROOT / ours["build"]["dockerfile"]).is_file()
    settings = settings_of(ours["environment"])
    [subnet] = [config["subnet"] for config in whole["networks"]["inside"]["ipam"]["config"]]
    assert (settings.real_ip_header, settings.trusted_proxies) == ("X-Forwarded-For", [subnet])
    assert float(ours["stop_grace_period"].removesuffix("s")) > LONGEST_STOP
    assert "ports" not in ours
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in whole["volumes"] or (COMPOSE.parent / source).is_file()
    text = (DEPLOY / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    assert set(re.findall(r"\{\$(\w+)", text)) == set(caddy["environment"])
    assert caddy["environment"]["UPSTREAM"] == "cloudlink:3000"


# systemd.


@pytest.fixture
def unit(tmp_path):
    """The unit with a program that exists, as `systemd-analyze` wants it."""
    text = UNIT.read_text(encoding="utf-8")
    assert "ExecStart=/opt/cloudlink/bin/cloudlink " in text
    file = tmp_path / "cloudlink.service"
    file.write_text(text.replace("/opt/cloudlink/bin/cloudlink", "/bin/true"), encoding="utf-8")
    return file


def test_the_unit_is_understood_by_systemd(unit):
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if "cloudlink" in line] == []


def test_the_unit_exposes_little(unit):
    command = [tool("systemd-analyze"), "security", "--no-pager", "--offline=true", "--threshold=20", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    level = re.search(r"exposure level for cloudlink\.service: ([\d.]+)", done.stdout)
    assert level, done.stderr
    assert float(level[1]) <= 2.0
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    assert f"rates it {level[1]}, where 10 is the most exposed" in " ".join(page.split())
    assert done.returncode == 0


def test_the_unit_starts_and_stops_the_server():
    text = UNIT.read_text(encoding="utf-8")
    [start] = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert understood(start.split()).config == "/etc/cloudlink/cloudlink.toml"
    [stop] = re.findall(r"^TimeoutStopSec=(\d+)s$", text, re.MULTILINE)
    assert float(stop) > LONGEST_STOP


# Kubernetes.


@pytest.fixture
def manifest():
    return {
        document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))
    }


def test_the_settings_of_the_manifest_are_valid(manifest, tmp_path):
    [(name, text)] = manifest["ConfigMap"]["data"].items()
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    pod = manifest["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    settings = load(toml=file, environ={one["name"]: one["value"] for one in container["env"]}, flags={})
    assert settings.port == container["ports"][0]["containerPort"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    assert settings.storage.startswith(mounts["data"] + "/")
    assert understood(container["args"]).config == f"{mounts['settings']}/{name}"
    assert container["args"][0] == "cloudlink"


def test_the_probes_ask_for_pages_that_exist(manifest):
    pod = manifest["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": HEALTH, "liveness": HEALTH, "readiness": pages.READY}
    with ServerProcess() as server:
        for path in set(paths.values()):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
                assert answer.status == 200
    assert pod["terminationGracePeriodSeconds"] > LONGEST_STOP


def test_the_parts_of_the_manifest_belong_together(manifest):
    deployment = manifest["Deployment"]["spec"]
    template = deployment["template"]
    labels = template["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == manifest["Service"]["spec"]["selector"] == labels
    pod = template["spec"]
    [container] = pod["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert manifest["Service"]["spec"]["ports"][0]["targetPort"] in ports
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["settings"]["configMap"]["name"] == manifest["ConfigMap"]["metadata"]["name"]
    claim = manifest["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim
    ingress = manifest["Ingress"]["spec"]
    [rule] = ingress["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == manifest["Service"]["metadata"]["name"]
    assert ingress["tls"][0]["hosts"] == [rule["host"]]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    user = next(
        rest for keyword, rest in instructions(DOCKERFILE.read_text(encoding="utf-8")) if keyword == "USER"
    )
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == user
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not pod["enableServiceLinks"]


# Other hosts.


def test_the_procfile():
    text = (DEPLOY / "hosts" / "Procfile").read_text(encoding="utf-8")
    assert dict(line.split(": ", 1) for line in text.splitlines()).keys() == {"web"}
    assert understood(text.partition(": ")[2].split()).host == "0.0.0.0"


def test_render():
    [service] = yaml.safe_load(RENDER.read_text(encoding="utf-8"))["services"]
    assert understood(service["startCommand"].split()).host == "0.0.0.0"
    assert service["healthCheckPath"] == HEALTH
    variables = {one["key"]: one["value"] for one in service["envVars"]}
    settings = settings_of(variables)
    assert settings.storage.startswith(service["disk"]["mountPath"] + "/")
    assert settings.trusted_proxies


def test_the_windows_task():
    """PowerShell is not here; what can be read without it is right."""
    text = WINDOWS.read_text(encoding="utf-8")
    code = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    code = re.sub(r"`.", "", code)
    bare = re.sub(r'"[^"]*"', '""', code)
    for opening, closing in ("{}", "()", "[]"):
        assert bare.count(opening) == bare.count(closing)
    assert code.count('"') % 2 == 0
    [command] = re.findall(r"cloudlink\.exe`\" (\w+)", text)
    understood([command])
    used = set(re.findall(r"\$(?:env:)?(\w+)", code))
    defined = set(re.findall(r"^\s*(?:\[\w+\])?\$(\w+) =", code, re.MULTILINE))
    given = {"LASTEXITCODE", "ErrorActionPreference", "ProgramData", "SystemRoot", "Program", "Words"}
    assert used - defined - given == set()


def test_the_overview_lists_every_folder():
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    folders = {path.name for path in DEPLOY.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert set(re.findall(r"\]\((\w[\w-]*)\)", text)) == folders
