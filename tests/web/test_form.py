"""The form of the JavaScript client: small, formatted, and described by its type declarations."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.real_clients.environment import node_modules

WEB = Path(__file__).parents[2] / "web"
MOST_BYTES = 10 * 1024
PINS = ("prettier@3.6.2", "typescript@5.9.3")
FILES = ["cloudlink.mjs", "cloudlink.d.mts", "try.mjs"]

PROGRAM = """
import { connect, connectCloud, ClientError } from "%s/cloudlink.mjs";
const c = await connect("ws://x", { username: "a", rooms: ["b"] });
const off: () => void = c.on("globalMessage", ({ value, room }) => console.log(value, room.length));
c.on("event", (event) => console.log(event.type));
const sent: boolean = c.send({ a: [1, null] }, "room") && c.pmsg(c.user, 1) && c.direct(["a", c.user], 1, "x");
await c.request("setid", { val: "x" }, { timeout: 1 }).catch((error: ClientError) => error.status?.codeId);
const cloud = await connectCloud("ws://x", { projectId: 1, username: "a" });
const value: number | string = cloud.get("a", 0);
cloud.on("change", ({ name, value }) => console.log(name, value));
// @ts-expect-error a cloud variable holds no object
cloud.set("a", {});
// @ts-expect-error there is no such event
c.on("nosuch", () => 0);
// @ts-expect-error a project is needed
connectCloud("ws://x", { username: "a" });
"""

pytestmark = pytest.mark.timeout(300)  # packages may have to be installed first


@pytest.fixture(scope="module")
def modules():
    return node_modules("javascript-form", PINS, "Prettier and TypeScript")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_client_is_small():
    assert len((WEB / "cloudlink.mjs").read_bytes()) <= MOST_BYTES


def test_prettier_would_write_it_the_same_way(modules):
    done = run(
        *(f"{modules}/.bin/prettier", "--use-tabs", "--print-width", "120", "--check"),
        *(str(WEB / file) for file in FILES),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_fit_a_program_and_refuse_mistakes(modules, tmp_path):
    program = tmp_path / "program.mts"
    program.write_text(PROGRAM % WEB, encoding="utf-8")
    options = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom")
    done = run(f"{modules}/.bin/tsc", *options, str(program))
    assert done.stdout == ""


def test_every_method_has_a_type():
    declared = (WEB / "cloudlink.d.mts").read_text(encoding="utf-8")
    script = (
        f'import * as all from "{WEB}/cloudlink.mjs";'
        "const names = (one) => Object.getOwnPropertyNames(one);"
        "const c = new all.Connection('ws://x'), cloud = new all.CloudConnection('ws://x', {});"
        "const found = [all.Connection, all.CloudConnection, Object.getPrototypeOf(all.Connection)]"
        ".flatMap((one) => names(one.prototype)).concat(names(c), names(cloud), names(all));"
        "console.log([...new Set(found)].filter((name) => !name.startsWith('_') && name !== 'constructor').join(' '))"
    )
    names = run("node", "--input-type=module", "--eval", script).stdout.split()
    assert {"send", "on", "connectCloud", "variables"} <= set(names)
    undeclared = [name for name in names if not re.search(rf"(\s|class ){name}(<.*>)?[(:? ]", declared)]
    assert undeclared == []
