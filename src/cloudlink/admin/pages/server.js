// The server: who may come, bridges, accounts, settings.

import {
  ago, button, check, complain, details, field, form, FRESH, h, input, list, note, number, plural, put, question, questionOf, row, RULE, secret,
  section, select, table, text, who,
} from "./dom.js";

const MODES = { open: ["Open", "Everybody may come"], guarded: ["Guard", "Guarded: newcomers are slowed down"], closed: ["Close", "Closed: nobody new gets in"] };
const ROLES = [["viewer", "Viewer: only looks"], ["moderator", "Moderator: kicks, mutes and bans"], ["owner", "Owner: may do everything"]];

export function server(page) {
  put(page.body, page.isStaff && [modes(page), say(page)], bridges(page), page.isOwner && accounts(page), own(page), page.isOwner && settings(page));
}

function modes(page) {
  const state = h("p", { role: "status" });
  const message = input({ maxlength: 100 });
  let mode = "open";
  const set = async (wanted) => {
    const was = mode;
    if (!(await page.act("server.mode", { mode: wanted, ...(wanted === "closed" && { message: message.value }) }))) return;
    note(`${MODES[wanted][1]}.`, page.isOwner && was in MODES && page.undo("server.mode", { mode: was }));
  };
  const buttons = Object.entries(MODES).filter(([name]) => page.isOwner || name === "guarded").map(([name, [label]]) => [name, button(label, () => set(name))]);
  page.poll(async () => {
    ({ mode } = await page.ask("stats.get"));
    text(state, `${MODES[mode]?.[1] ?? "The server is being emptied"}.`);
    for (const [name, one] of buttons) one.setAttribute("aria-pressed", name === mode);
  });
  return section(
    "Who may come",
    state,
    h("div.buttons", buttons.map(([, one]) => one), page.isOwner && button("Empty the server", () => drain(page), "danger")),
    page.isOwner && field("Message to those turned away", message),
  );
}

function drain(page) {
  const minutes = input({ type: "number", min: 0, max: 1440, value: 5, required: true });
  const message = input({ maxlength: 200 });
  const stop = check("Then stop the server");
  const contents = [h("p", "Players are told, nobody new gets in, and then all are disconnected. “Open” cancels it."), field("Minutes", minutes), field("Message to the players", message), stop];
  question("Empty the server?", contents, "Empty it", async () => {
    await page.change("server.drain", { seconds: minutes.value * 60, message: message.value, stop: stop.firstChild.checked });
    note("The server is being emptied.", page.undo("server.mode", { mode: "open" }));
  }, "danger");
}

function say(page) {
  const words = h("textarea", { maxlength: 1000, rows: 2, required: true });
  return section("Tell everybody", form(field("Text", words), h("button.main", "Send"), async () => {
    await page.change("broadcast", { text: words.value });
    words.value = "";
    note("Sent.");
  }));
}

// Bridges, if there are any.

function bridges(page) {
  const make = ({ name }, get) => {
    const toggle = page.isStaff && button("", () => page.act(get().paused ? "bridges.resume" : "bridges.pause", { name }));
    return row(who(name), toggle, (now) => {
      if (toggle) text(toggle, now.paused ? "Resume" : "Pause");
      return {
        chip: [now.paused ? "paused" : now.up ? "connected" : "not connected"],
        below: [plural(now.users, "user"), now.rates, now.dropped > 0 && `${number(now.dropped)} dropped`, !now.up && !now.paused && now.reason],
      };
    });
  };
  const found = list(make, "name", "", "Bridges");
  const card = section("Bridges", found);
  card.hidden = true;
  let before = new Map();
  let at = 0;
  page.poll(async () => {
    const { items } = await page.ask("bridges.list");
    const seconds = (performance.now() - at) / 1000;
    const rate = ({ name, received, sent }) => {
      const old = before.get(name);
      return old && `${number((received - old.received) / seconds)} in and ${number((sent - old.sent) / seconds)} out a second`;
    };
    found.show(items.map((bridge) => ({ ...bridge, rates: rate(bridge) })));
    before = new Map(items.map((bridge) => [bridge.name, bridge]));
    at = performance.now();
    card.hidden = !items.length;
  });
  return card;
}

function accounts(page) {
  const set = ({ name, role }) => {
    const [which, password] = [select(ROLES, role), secret({ ...FRESH, required: false })];
    questionOf("Change", name, [field("Role", which), field("New password, if any", password, RULE)], () =>
      page.change("accounts.set", { name, role: which.value, ...(password.value && { password: password.value }) }));
  };
  const remove = ({ name }) => questionOf("Remove", name, h("p", "Its sessions end at once."), () => page.change("accounts.remove", { name }), "danger");
  const add = () => {
    const [name, password, role] = [input({ maxlength: 32, required: true }), secret(FRESH), select(ROLES, "moderator")];
    question("Add an account", [field("Name", name), field("Password", password, RULE), field("Role", role)], "Add", () =>
      page.change("accounts.add", { name: name.value, password: password.value, role: role.value }));
  };
  const make = (account, get) => {
    const buttons = !account.fixed && [button("Change", () => set(get())), button("Remove", () => remove(account), "danger")];
    return row(who(account.name), buttons, (now) => ({ chip: [now.role], below: [now.fixed && "from the setting admin_password_hash"] }));
  };
  return section("Accounts", page.feed(list(make, "name", "", "Accounts"), "accounts.list"), button("Add an account", add));
}

function own(page) {
  const change = () => {
    const [old, fresh] = [secret({ autocomplete: "current-password" }), secret(FRESH)];
    question("Change your password", [field("Old password", old), field("New password", fresh, RULE)], "Change", () => page.change("password.set", { old: old.value, new: fresh.value }));
  };
  const make = (session) => row(who(session.account), !session.own && button("End", () => page.act("sessions.end", { id: session.id })), (now) => ({
    chip: [now.own && "this one"],
    below: [`for ${ago(now.since)}`, now.address],
  }));
  return section("Logged in", page.feed(list(make, "id", "", "Sessions"), "sessions.list"), button("Change your password", change));
}

function settings(page) {
  const body = h("tbody");
  const line = ({ name, value, unit, origin }) =>
    h("tr", h("td", h("code", name)), h("td", h("bdi", typeof value === "string" ? value : JSON.stringify(value)), ` ${unit ?? ""}`), h("td", origin));
  const load = async () => put(body, (await page.ask("config.get")).items.map(line));
  const reload = async () => {
    const done = await page.act("config.reload");
    if (!done) return;
    const changed = Object.keys(done.changed);
    note(changed.length ? `Changed: ${changed.join(", ")}.` : "Nothing has changed.");
    if (done.needs_restart.length) note(`After a restart: ${done.needs_restart.join(", ")}.`);
  };
  return h("section.card", details("Settings, and where they come from", table("Settings", ["Setting", "Value", "From"], body), () => load().catch(complain)),
    button("Read the settings file again", reload));
}
