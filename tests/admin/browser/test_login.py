"""Getting into the dashboard, staying in, and getting out."""

from tests.admin.browser.fakehost import FakeHost, Refusal
from tests.admin.browser.lab import OWNER, PASSWORD, scenario
from tests.admin.browser.realhost import RealHost


@scenario
async def test_the_first_account_is_made_from_the_link(lab):
    async with RealHost() as host:
        visitor = await lab.visitor(host.link)
        await visitor.sees("Welcome", "At least 15 characters")
        assert await visitor.evaluate("location.href") == host.address  # and so it is in no history either
        await visitor.sets_up()
        await visitor.sees("Your friends connect to", host.url, "Nobody is here.")
        assert host.accounts == {OWNER: "owner"}
        await visitor.reloads()
        await visitor.sees("Your friends connect to")


@scenario
async def test_a_short_password_is_refused_before_it_is_sent(lab):
    async with RealHost() as host:
        visitor = await lab.visitor(host.link)
        await visitor.sees("Welcome")
        await visitor.fills("Name", OWNER)
        # Only what was typed counts as too short.
        await visitor.evaluate("lab.control('Password').focus()")
        await visitor.page.type("too short")
        await visitor.clicks("Become the owner")
        await visitor.until("lab.control('Password').validity.tooShort")
        assert host.accounts == {}


@scenario
async def test_a_link_that_is_too_old_says_so(lab):
    async with RealHost() as host:
        visitor = await lab.visitor(host.address + "#setup=old")
        await visitor.sees("Welcome")
        await visitor.fills("Name", OWNER)
        await visitor.fills("Password", PASSWORD)
        await visitor.clicks("Become the owner")
        await visitor.sees("This link is not valid any more.")


@scenario
async def test_without_the_link_the_page_says_where_it_is(lab):
    async with RealHost() as host:
        visitor = await lab.visitor(host.address)
        await visitor.sees("No owner yet", "cloudlink admin link")


@scenario
async def test_a_wrong_password_and_what_a_server_refuses_are_said_plainly(lab):
    async with FakeHost() as host:
        host.add_account(OWNER, PASSWORD, "owner")
        visitor = await lab.visitor(host.address)
        await visitor.logs_in(password="some other words here")
        await visitor.sees("The name or the password is wrong.")
        host.refuses["login"] = Refusal(
            "throttled", "There were too many wrong passwords.", retry_after=119.2
        )
        await visitor.clicks("Log in")
        await visitor.sees("There were too many wrong passwords. Try again in 2 minutes.")
        host.refuses["login"] = Refusal("insecure", "This connection is not encrypted: use https://.")
        await visitor.clicks("Log in")
        await visitor.sees("This connection is not encrypted: use https://.")
        host.refuses.clear()
        await visitor.logs_in()
        await visitor.sees("Newest players")


@scenario
async def test_logging_out_ends_the_session_of_the_page(lab):
    async with RealHost() as host:
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.clicks("Log out")
        await visitor.sees("You have logged out.")
        await visitor.reloads()
        await visitor.sees("Log in")
        assert await visitor.evaluate("sessionStorage.length") == 0


@scenario
async def test_a_session_that_the_server_ends_leads_to_the_login(lab):
    async with RealHost() as host:
        host.add_account("kim", PASSWORD, "moderator")
        host.join("bob")
        visitor = await lab.visitor(host.address)
        await visitor.logs_in("kim")
        await visitor.clicks("Kick", "bob")
        await visitor.sees("Kick bob?")
        host.set_role("kim", "viewer")
        await visitor.sees("Your session has ended")
        await visitor.sees_no_more("Kick bob?")
        await visitor.logs_in("kim")
        await visitor.sees("Newest players")
        assert "Kick" not in await visitor.labels()


@scenario
async def test_a_lost_connection_is_said_and_made_again(lab):
    async with FakeHost() as host:
        host.join("bob")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("players")
        await visitor.sees("1 player here")
        await host.stop()
        await visitor.sees("There is no connection to the server.", "Try now")
        await visitor.clicks("Kick", "bob")
        await visitor.clicks("Kick")
        await visitor.sees("There is no connection to the server right now. Nothing was changed.")
        await visitor.clicks("Cancel")
        host.join("carl")
        await host.start()
        await visitor.clicks("Try now")
        await visitor.sees_no_more("There is no connection to the server.")
        await visitor.sees("2 players here", "carl")


@scenario
async def test_after_a_break_of_the_network_the_page_goes_on_by_itself(lab):
    async with RealHost() as host:
        host.join("bob")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("players")
        await visitor.sees("1 player here")
        host.drop_everybody()
        await visitor.sees("There is no connection to the server.")
        host.join("carl")
        await visitor.sees("2 players here")
        await visitor.sees_no_more("There is no connection to the server.")


@scenario
async def test_processes_that_do_not_answer_are_named_until_they_do(lab):
    async with FakeHost() as host:
        host.join("bob")
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await visitor.chooses("players")
        await visitor.sees("bob")
        assert "did not answer" not in await visitor.evaluate("document.body.innerText")
        host.missing = ["games-2"]
        await visitor.sees("One of 3 processes did not answer: games-2.")
        host.missing = ["games-2", "<b>games-3"]
        await visitor.sees("2 of 3 processes did not answer: games-2, <b>games-3.")
        await visitor.chooses("rooms")
        await visitor.sees("did not answer")
        host.missing = []
        await visitor.sees_no_more("did not answer")


@scenario
async def test_attempts_become_rarer(lab):
    async with FakeHost() as host:
        visitor = await lab.visitor(host.link)
        await visitor.sets_up()
        await host.stop()
        await visitor.sees("There is no connection to the server.")
        before = len(visitor.page.requests)
        waits = await visitor.evaluate("""(async () => {
          const { Wire } = await import("./admin/wire.js");
          const waits = [];
          await new Promise((done) => {
            const wire = new Wire({ hello() {}, event() {}, answer() {}, ended() {}, state({ state, retryAt }) {
              if (state !== "waiting") return;
              waits.push((retryAt - Date.now()) / 1000);
              if (waits.length < 8) setTimeout(() => wire.open());
              else done();
            } });
            wire.open();
          });
          return waits;
        })()""")
        least = [1, 2, 4, 8, 15, 30, 30, 30]
        assert all(few - 0.1 <= wait <= 1.5 * few for few, wait in zip(least, waits, strict=True)), waits
        assert len(visitor.page.requests) > before
        await host.start()
