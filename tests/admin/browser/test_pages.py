"""Rooms, words, cloud variables, history, and the server itself; notices and charts."""

from tests.admin.browser.fakehost import FakeHost
from tests.admin.browser.lab import OWNER, scenario
from tests.admin.browser.realhost import RealHost


@scenario
async def test_numbers_charts_and_their_tables(lab):
    async with FakeHost() as host:
        host.join("bob")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.sees("1.1 ms", "Now 12; at most 12 within ten minutes", "Nothing to report.")
        points = await visitor.evaluate(
            "[...document.querySelectorAll('polyline')].map((line) => line.getAttribute('points').split(' ').length)"
        )
        assert points == [120, 120, 120]
        await visitor.clicks("As a table")
        await visitor.sees("5 seconds ago")
        assert await visitor.evaluate("document.querySelectorAll('details[open] tbody tr').length") == 120
        host.notice("The disk is full.")
        await visitor.sees("The disk is full.")


@scenario
async def test_a_room_is_made_quiet_locked_and_slow(lab):
    async with RealHost() as host:
        bob = host.join("bob")
        bob.says({"cmd": "link", "val": ["default", "<b>game</b>"]})
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("rooms")
        await visitor.clicks("Quiet", "game")
        await visitor.sees("<b>game</b> is quiet now.")
        await visitor.clicks("Lock", "game")
        await visitor.sees("<b>game</b> is locked", "Unlock")
        await visitor.evaluate("void lab.row('game').querySelector('a').click()")
        await visitor.sees("A player may send", "bob")
        await visitor.fills("A player may send", "10")
        await visitor.until("lab.control('A player may send').value === '10'")
        await visitor.chooses("rooms")
        await visitor.sees("slow: 10 s")
        assert host.rules("<b>game</b>") == {"frozen": True, "locked": True, "slow": 10}
        assert await visitor.evaluate("lab.find('Lock', 'default') ?? null") is None


@scenario
async def test_words_are_added_tried_and_removed(lab):
    async with RealHost() as host:
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("words")
        await visitor.clicks("Add words")
        await visitor.fills("One a line", "darn\nheck\n")
        await visitor.fills("What happens", "mask")
        await visitor.clicks("Add")
        await visitor.sees("darn, heck", "Replace the word by *** · Messages, Names of players")
        await visitor.fills("A sentence", "oh darn it")
        await visitor.clicks("Try it")
        await visitor.sees("oh **** it")
        await visitor.fills("A sentence", "oh well")
        await visitor.clicks("Try it")
        await visitor.sees("This passes.")
        [rule] = host.filters
        assert (rule["entries"], rule["action"], rule["scope"]) == (
            ["darn", "heck"],
            "mask",
            ["messages", "names"],
        )
        await visitor.clicks("Remove", "darn")
        await visitor.sees("There are no rules.")
        await visitor.clicks("Undo", "notes")
        await visitor.sees("darn, heck")


@scenario
async def test_cloud_variables_are_changed_and_deleted(lab):
    async with RealHost() as host:
        host.plays_scratch("612229554", ("☁ high score", "42"))
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("cloud")
        await visitor.sees("612229554", "1 variable")
        await visitor.evaluate("void lab.row('612229554').querySelector('a').click()")
        await visitor.clicks("Change", "high score")
        await visitor.until("lab.control('Value').value === '42'")
        await visitor.fills("Value", "7")
        await visitor.clicks("Change")
        await visitor.until("lab.row('high score').innerText.includes('7')")
        await visitor.clicks("Delete", "high score")
        await visitor.clicks("Delete")
        await visitor.sees("This project has no cloud variables.")


@scenario
async def test_the_history_and_the_log(lab):
    async with RealHost() as host:
        host.join("bob")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.clicks("Kick", "bob")
        await visitor.fills("Reason", "spam")
        await visitor.clicks("Kick")
        await visitor.sees("You kicked bob.")
        await visitor.chooses("history")
        await visitor.sees("clients.kick", "dashboard", "spam", "setup")


@scenario
async def test_messages_of_a_player_are_watched(lab):
    async with RealHost() as host:
        bob = host.join("bob")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses(f"player?of={bob.id}")
        await visitor.clicks("Watch")
        await visitor.sees("Stop")
        bob.says({"cmd": "gmsg", "val": "<i>hello</i>", "rooms": "default"})
        await visitor.sees('bob message "<i>hello</i>"')


@scenario
async def test_the_server_is_guarded_closed_and_opened(lab):
    async with RealHost() as host:
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("server")
        await visitor.sees("Everybody may come.")
        await visitor.clicks("Guard")
        await visitor.sees("Guarded: newcomers are slowed down.")
        assert host.mode == "guarded"
        await visitor.clicks("Undo", "notes")
        await visitor.sees("Undone.", "Everybody may come.")
        await visitor.clicks("Empty the server")
        await visitor.clicks("Empty it")
        await visitor.sees("The server is being emptied.")
        assert host.mode == "draining"
        await visitor.clicks("Open")
        await visitor.sees("Everybody may come.")


@scenario
async def test_a_bridge_is_paused_and_resumed(lab):
    async with FakeHost() as host:
        host.bridges["south"] = {
            "name": "south",
            "up": True,
            "paused": False,
            "users": 3,
            "received": 5,
            "sent": 7,
            "dropped": 2,
            "reason": "",
        }
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("server")
        await visitor.sees("Bridges", "south", "connected", "3 users", "2 dropped", "0 in and 0 out a second")
        await visitor.clicks("Pause")
        await visitor.sees("paused")
        assert host.bridges["south"]["paused"]
        await visitor.clicks("Resume")
        await visitor.sees("connected")
        assert not host.bridges["south"]["paused"]


@scenario
async def test_accounts_and_settings(lab):
    async with RealHost() as host:
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("server")
        await visitor.clicks("Add an account")
        await visitor.fills("Name", "mo")
        await visitor.fills("Password", "seven kind green lamps")
        await visitor.clicks("Add")
        await visitor.until("lab.row('mo')")
        assert host.accounts == {OWNER: "owner", "mo": "moderator"}
        await visitor.clicks("Settings, and where they come from")
        await visitor.sees("max_clients", "admin_storage", "default")
