"""What is done to players, and by whom."""

from cloudlink.admin.actors import SERVER
from tests.admin.browser.lab import PASSWORD, scenario
from tests.admin.browser.realhost import HOST, RealHost


@scenario
async def test_kicking_asks_for_a_reason(lab):
    async with RealHost() as host:
        bob, alice = host.join("bob"), host.join("alice")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.clicks("Kick", "bob")
        await visitor.sees("Kick bob?")
        await visitor.fills("Reason", "spam")
        await visitor.clicks("Kick")
        await visitor.sees("You kicked bob.")
        assert bob.closed == (4004, "You were kicked: spam")
        assert alice.closed is None
        await visitor.until("!lab.row('bob') && lab.row('alice')")


@scenario
async def test_a_ban_says_whom_it_hits_and_can_be_undone(lab):
    async with RealHost() as host:
        bob, alice = host.join("bob"), host.join("alice")
        carl = host.join("carl", "198.51.100.7")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.clicks("Ban", "bob")
        await visitor.sees("Hits 2 players: alice, bob. Perhaps one school or family.", "Hits 1 player: bob.")
        assert await visitor.evaluate("lab.control('How long').selectedOptions[0].text") == "1 day"
        await visitor.fills("Reason", "insults")
        await visitor.clicks("Ban")
        await visitor.sees("You banned bob until", "2 players had to go.")
        for hit in (bob, alice):
            code, why = hit.closed
            assert (code, why.endswith("insults")) == (4004, True)
        assert carl.closed is None
        [ban] = host.bans
        assert (ban["kind"], ban["value"], ban["until"] - ban["at"]) == ("address", "203.0.113.5", 86400)
        await visitor.clicks("Undo", "notes")
        await visitor.sees("Undone.")
        assert host.bans == []


@scenario
async def test_the_name_alone_can_be_banned_for_ever(lab):
    async with RealHost() as host:
        bob, alice = host.join("bob"), host.join("alice")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.clicks("Ban", "bob")
        await visitor.fills("This name only")
        await visitor.fills("How long", "ever")
        await visitor.clicks("Ban")
        await visitor.sees("You banned bob for ever; 1 player had to go.")
        assert (bob.closed is None, alice.closed is None) == (False, True)
        [ban] = host.bans
        assert (ban["kind"], ban["value"], ban["until"]) == ("name", "bob", None)
        await visitor.chooses("bans")
        await visitor.clicks("Remove", "bob")
        await visitor.sees("bob may come back.", "Nobody is banned.")
        assert host.bans == []


@scenario
async def test_what_is_protected_cannot_be_banned(lab):
    async with RealHost() as host:
        host.join("mia", HOST)
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.clicks("Ban", "mia")
        await visitor.sees("Hits 1 player: mia.")
        await visitor.clicks("Ban")
        await visitor.sees("holds this machine, a trusted proxy or an owner", "Ban mia?")
        assert host.bans == []


@scenario
async def test_a_ban_by_hand(lab):
    async with RealHost() as host:
        bob = host.join("bob")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("bans")
        await visitor.clicks("Ban by hand")
        await visitor.fills("What", "address")
        await visitor.fills("Which", "203.0.113.5")
        await visitor.clicks("Next")
        await visitor.sees("Hits 1 player: bob.")
        await visitor.clicks("Ban")
        await visitor.sees("You banned 203.0.113.5 until")
        assert bob.closed is not None
        await visitor.until("lab.row('203.0.113.5')")


@scenario
async def test_muting_takes_one_click_and_can_be_undone_from_the_keyboard(lab):
    async with RealHost() as host:
        bob = host.join("bob")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.clicks("Mute 5 minutes", "bob")
        await visitor.sees("You muted bob for 5 minutes.")
        [mute] = host.mutes
        assert (mute["kind"], mute["value"], mute["name"], mute["until"] - mute["at"]) == (
            "client",
            bob.id,
            "bob",
            300,
        )
        await visitor.until("lab.row('bob').innerText.includes('muted')")
        await visitor.evaluate(
            "void document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'z', ctrlKey: true, bubbles: true}))"
        )
        await visitor.sees("Undone.")
        assert host.mutes == []
        await visitor.until("!lab.row('bob').innerText.includes('muted')")


@scenario
async def test_one_player_and_a_longer_hidden_mute(lab):
    async with RealHost() as host:
        bob = host.join("bob", headers={"Origin": "https://turbowarp.org"})
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses(f"player?of={bob.id}")
        await visitor.sees("203.0.113.5", "https://turbowarp.org", "2 messages")
        await visitor.clicks("Mute longer")
        await visitor.fills("How long", "86400")
        await visitor.fills("Hidden")
        await visitor.clicks("Mute")
        await visitor.sees("You muted bob for 1 day.")
        [mute] = host.mutes
        assert (mute["hidden"], mute["until"] - mute["at"]) == (True, 86400)
        await visitor.chooses("bans")
        await visitor.until("lab.row('bob')?.innerText.includes('hidden')")
        await visitor.chooses(f"player?of={bob.id}")
        await visitor.sees("203.0.113.5")
        bob.leaves()
        await visitor.sees("This player has left.")


@scenario
async def test_quiet_everybody(lab):
    async with RealHost() as host:
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.clicks("Quiet, everybody")
        await visitor.sees("Everybody is quiet", "Let everybody talk")
        assert host.rules("*")["frozen"]
        await visitor.clicks("Undo", "notes")
        await visitor.sees("Undone.", "Quiet, everybody")
        assert not host.rules("*")["frozen"]
        host.server.sanctions.set_room(SERVER, "*", frozen=True)  # as another moderator does
        await visitor.sees("Let everybody talk")


@scenario
async def test_a_viewer_sees_and_cannot_do_anything(lab):
    async with RealHost() as host:
        bob = host.join("bob")
        host.add_account("vera", PASSWORD, "viewer")
        visitor = await lab.visitor(host.address)
        await visitor.logs_in("vera")
        await visitor.sees("bob")
        everywhere = ["Menu", "Skip to the content", "Dark or light", "Log out"]
        pages = ["Now", "Players", "Rooms", "Cloud", "Server"]
        labels = set()
        for name in (
            "now",
            "players",
            f"player?of={bob.id}",
            "rooms",
            "room?of=default",
            "cloud",
            "server",
        ):
            await visitor.chooses(name)
            await visitor.until("document.querySelector('.page').innerText.length > 15")
            labels |= set(await visitor.labels())
        for forbidden in (
            "Kick",
            "Ban",
            "Mute",
            "Quiet",
            "Lock",
            "Watch",
            "Change",
            "Delete",
            "Add",
            "Guard",
            "moderate",
        ):
            assert not [
                label for label in labels if label.startswith(forbidden) and label != "Change your password"
            ]
        links = await visitor.evaluate(
            "[...document.querySelectorAll('nav a')].map((link) => link.textContent)"
        )
        assert links == pages
        assert labels >= {*pages, *everywhere} - {"Menu", "Skip to the content"}
        await visitor.chooses("bans")  # leads nowhere
        await visitor.sees("Newest players")


@scenario
async def test_a_moderator_lacks_what_only_owners_may(lab):
    async with RealHost() as host:
        bob = host.join("bob")
        host.add_account("mo", PASSWORD, "moderator")
        visitor = await lab.visitor(host.address)
        await visitor.logs_in("mo")
        await visitor.clicks("Ban", "bob")
        assert "For ever" not in await visitor.evaluate("lab.control('How long').innerText")
        await visitor.clicks("Cancel")
        await visitor.chooses(f"player?of={bob.id}")
        await visitor.sees("Mute longer")
        await visitor.sees_no_more("Let this player moderate")
        await visitor.sees_no_more("203.0.113.5")
        await visitor.chooses("server")
        await visitor.sees("Guard")
        labels = await visitor.labels()
        assert not {
            "Open",
            "Close",
            "Empty the server",
            "Add an account",
            "Read the settings file again",
        } & set(labels)


@scenario
async def test_players_are_searched_for(lab):
    async with RealHost() as host:
        for name in ("bob", "Bobby", "alice"):
            host.join(name)
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("players")
        await visitor.sees("3 players here")
        await visitor.fills("Search", "bob")
        await visitor.sees("2 players found")
        await visitor.until("!lab.row('alice')")


@scenario
async def test_a_player_is_let_moderate_and_no_more(lab):
    async with RealHost() as host:
        bob = host.join("bob")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses(f"player?of={bob.id}")
        await visitor.clicks("Let this player moderate")
        await visitor.sees("bob may moderate from the game for 2 hours, or until they leave.")
        await visitor.clicks("Let them moderate no more")
        await visitor.sees("Let this player moderate")
        await visitor.clicks("Let this player moderate")
        await visitor.sees("Let them moderate no more")
        await visitor.clicks("Undo", "notes")
        await visitor.sees("Undone.", "Let this player moderate")


@scenario
async def test_an_owner_has_to_insist_on_a_very_wide_ban(lab):
    async with RealHost() as host:
        bob = host.join("bob")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("bans")
        await visitor.clicks("Ban by hand")
        await visitor.fills("What", "network")
        await visitor.fills("Which", "203.0.0.0/8")
        await visitor.clicks("Next")
        await visitor.clicks("Ban")
        await visitor.sees("holds very many people")
        assert host.bans == []
        await visitor.clicks("Ban all the same")
        await visitor.sees("You banned 203.0.0.0/8 until")
        assert bob.closed is not None
