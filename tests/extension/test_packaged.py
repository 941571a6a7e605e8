"""A project packaged by TurboWarp's packager carries the extension with it, and plays on."""

import asyncio
import os

from tests.extension.lab import User, scenario
from tests.extension.project import put, sb3
from tests.real_clients.scratch.packaged import SCRIPT, packager
from tests.real_clients.scratch.server import HOST

# The page has a runtime of its own, under the same name as in the playground.
LOOK = """new Promise((kept) => {
  const look = () => {
    const stage = window.vm && vm.runtime.getTargetForStage();
    const variable = stage && Object.values(stage.variables).find(({name}) => name === 'heard');
    if (variable && variable.value) kept(variable.value);
    else requestAnimationFrame(look);
  };
  look();
})"""


@scenario
async def test_a_packaged_project_plays(lab):
    script = [
        ("event_whenflagclicked", {}),
        ("cloudlink_openSocket", {"IP": lab.address}),
        ("cloudlink_sendGData", {"DATA": "packaged"}),
        ("control_wait_until", {"CONDITION": ("cloudlink_returnIsNewData", {"TYPE": "Global data"})}),
        put("heard", ("cloudlink_returnGlobalData", {})),
    ]
    project, page = lab.folder / "game.sb3", lab.folder / "game.html"
    source = f"http://{HOST}:{lab.server.port}/extension.js"
    project.write_bytes(sb3([script], variables=("heard",), extension=source))
    process = await asyncio.create_subprocess_exec(
        *("node", SCRIPT, project, page, "104", "wss://cloud.host/"),
        env={"PATH": os.environ["PATH"], "NODE_PATH": packager()},
    )
    assert await process.wait() == 0
    assert source not in page.read_text(encoding="utf-8")
    player = User(lab, await lab.browser.open(page.as_uri()))
    assert await player.evaluate(LOOK) == "packaged"
    assert player.page.errors == []
    await player.close()
