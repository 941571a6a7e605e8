"""JSON and HTTP helpers, which run without a connection."""

import json

from tests.extension.lab import scenario
from tests.real_clients.scratch.server import HOST

SAMPLE = '{"fruit": {"apples": 2, "a/b": "slash"}, "list": [5, {"x": null}, "z"], "none": null}'
DEEP = "[" * 100_000 + "]" * 100_000


@scenario
async def test_values_in_json(lab):
    [user] = await lab.users(1)
    paths = {
        "fruit/apples": "2",
        "/fruit/apples/": "2",
        "fruit/a%2Fb": "slash",
        "fruit": '{"apples":2,"a/b":"slash"}',
        "list/0": "5",
        "list/1/x": "null",
        "list/length": "3",
        "none": "null",
        "none/x": "",
        "fruit/pears": "",
        "list/9": "",
        "fruit/toString": "",
        "fruit/%": "",
        "": json.dumps(json.loads(SAMPLE), separators=(",", ":")),
    }
    found = {path: await user.get("parseJSON", PATH=path, JSON_STRING=SAMPLE) for path in paths}
    assert found == paths
    assert await user.get("parseJSON", PATH="x", JSON_STRING="{") == ""
    assert await user.get("parseJSON", PATH="", JSON_STRING=DEEP) in ("", DEEP)


@scenario
async def test_items_of_arrays(lab):
    [user] = await lab.users(1)
    array = '["foo", {"a": 1}, null, 7]'
    items = {0: "foo", 1: '{"a":1}', 2: "null", 3: "7", 4: "", -1: "", "1.5": "", "x": "foo"}
    assert {n: await user.get("getFromJSONArray", NUM=n, ARRAY=array) for n in items} == items
    for wrong in ("{", "5", '{"0": "no array"}', ""):
        assert await user.get("getFromJSONArray", NUM=0, ARRAY=wrong) == ""


@scenario
async def test_valid_json(lab):
    [user] = await lab.users(1)
    for text in ('{"test": true}', "5", "true", "null", '"x"'):
        assert await user.get("isValidJSON", JSON_STRING=text) is True
        assert await user.get("makeJSON", toBeJSONified=text) == text
    for text in ("", "{", "hello", "undefined"):
        assert await user.get("isValidJSON", JSON_STRING=text) is False
        assert await user.get("makeJSON", toBeJSONified=text) == "Not JSON!"


@scenario
async def test_texts_from_the_web(lab):
    [user] = await lab.users(1)
    source = f"http://{HOST}:{lab.server.port}/extension.js"
    text = await user.get("fetchURL", url=source)
    assert text.startswith("// Name: CloudLink\n")
    assert await user.get("requestURL", method="get", url=source, data="{}", headers="{}") == text
    assert await user.get("requestURL", method="HEAD", url=source, data="{}", headers="[]") == ""
    for method, url, headers in (
        ("GET", "http://", "{}"),
        ("NO METHOD", source, "{}"),
        ("POST", source, '{"no header": "\\n"}'),
        ("GET", source, "{"),
    ):
        answer = await user.get("requestURL", method=method, url=url, data="x", headers=headers)
        assert answer == (text if headers == "{" else "")
    assert await user.get("fetchURL", url="http://") == ""
    await user.evaluate("window.allowed = false")
    assert await user.get("fetchURL", url=source) == ""
