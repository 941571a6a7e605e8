"""Programs of users pass `mypy --strict`, and mistakes in them are found."""

import subprocess
import sys
import textwrap


def check(tmp_path, program):
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(program), encoding="utf-8")
    options = ["--strict", "--no-error-summary", "--hide-error-context", "--cache-dir", str(tmp_path)]
    # In a process of its own: mypy changes how deep this one may recurse.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(file)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(": ")[2] for line in done.stdout.splitlines()]


BOT = """
    import asyncio
    import cloudlink
    from cloudlink.client import ClientError, GlobalMessage, PrivateMessage, StatusCode, UserJoined

    async def main() -> None:
        async with cloudlink.connect("ws://127.0.0.1:3000/", username="bot", rooms=["lobby"]) as c:
            await c.send("Hello!", rooms="lobby")
            answer = await c.request("ping")
            if isinstance(answer, StatusCode):
                print(answer.code_id + 1)
            print([user.username for user in c.users["lobby"]])
            async for event in c:
                match event:
                    case UserJoined(user, room):
                        await c.send(f"Welcome, {user.username}!", rooms=room)
                    case PrivateMessage(value, sender):
                        await c.pmsg(sender, value)
                    case GlobalMessage():
                        print(event.room.upper())

    try:
        asyncio.run(main())
    except ClientError as error:
        print(error)
"""


def test_a_bot_passes_and_its_mistakes_do_not(tmp_path):
    assert check(tmp_path, BOT) == []
    wrong = BOT.replace('username="bot"', "username=5").replace("answer.code_id + 1", 'answer.code_id + "1"')
    kinds = [line.rpartition("  [")[2] for line in check(tmp_path, wrong)]
    assert kinds == ["arg-type]", "operator]"]
