// Players and one player; kicking, muting and banning, which other pages use too.

import {
  ago, button, check, duration, field, h, icon, input, linkTo, list, names, note, plural, put, question, row, section, select, sentence,
  size, text, until, who,
} from "./dom.js";

const REASON_LENGTH = 80;
const MUTE_TIME = 300; // seconds, of the button beside a name
const BAN_TIME = 86400; // seconds, what is proposed
const GRANT_MINUTES = 120;
const LINES = 500;
const EVER = "ever";
const TIMES = [[300, "5 minutes"], [3600, "1 hour"], [86400, "1 day"], [604800, "1 week"]];
const PROTOCOLS = { cl4: "CloudLink", scratch: "Scratch cloud" };
const ORDERS = [["since", "Longest here first"], ["-since", "Newest first"], ["name", "By name"]];

const reasonField = (control) => field("Reason (they read it)", control);
const reasonInput = () => input({ maxlength: REASON_LENGTH });
const timeSelect = (page, time) => select(page ? [...TIMES, [EVER, "For ever"]] : TIMES, time);

// What is done to players.

function kick(page, client) {
  const why = reasonInput();
  const contents = [h("p", "They are disconnected now, and may come back at once."), reasonField(why)];
  question(["Kick ", who(client.name), "?"], contents, "Kick", async () => {
    await page.change("clients.kick", { id: client.id, reason: why.value });
    note(["You kicked ", who(client.name), ". A ban would keep them away."]);
  });
}

async function mute(page, client, seconds = MUTE_TIME, reason = "", hidden = false) {
  const done = await page.act("mutes.add", { target: { client: client.id }, seconds, reason, hidden });
  if (done) note(["You muted ", who(client.name), ` for ${duration(seconds)}.`], page.undo("mutes.remove", { id: done.mute.id }));
}

function muteLonger(page, client) {
  const time = timeSelect(null, 3600);
  const why = reasonInput();
  const hidden = check("Hidden: they do not notice that nobody hears them");
  question(["Mute ", who(client.name), "?"], [field("How long", time), reasonField(why), hidden], "Mute", () =>
    mute(page, client, Number(time.value), why.value, hidden.firstChild.checked));
}

function ban(page, client) {
  const targets = [[{ client: client.id }, "Their address: whoever plays from there"]];
  if (client.name) targets.push([{ name: client.name }, "This name only, whoever has it"]);
  banTarget(page, client.name, targets);
}

/** The dialog of a ban; `targets` are pairs of a target and its label. */
export function banTarget(page, name, targets) {
  const why = reasonInput();
  const time = timeSelect(page.isOwner, BAN_TIME);
  const send = h("button.danger", "Ban");
  let chosen = 0;
  let force = {};
  const options = targets.map(([target, label], place) => {
    const hits = h("span.soft.line", "Looking whom this hits …");
    page.ask("bans.preview", { target }).then(
      ({ clients, names: found }) => {
        put(hits, clients ? ["Hits ", plural(clients, "player"), ": ", names(found, clients - found.length), "."] : "Hits nobody who is here now.");
        if (clients > 1 && !target.name) hits.append(h("strong", " Perhaps one school or family."));
      },
      (error) => text(hits, sentence(error)),
    );
    return h("label.check", h("input", { type: "radio", name: "target", checked: !place, onchange: () => (chosen = place) }), h("span", label, hits));
  });
  const contents = [h("fieldset", h("legend", "Whom"), options), field("How long", time), reasonField(why)];
  question(["Ban ", who(name), "?"], contents, send, async () => {
    const seconds = time.value === EVER ? null : Number(time.value);
    const asked = page.change("bans.add", { target: targets[chosen][0], seconds, reason: why.value, ...force });
    const { ban: made, hit } = await asked.catch((error) => {
      if (error.code === "too_broad" && page.isOwner) {
        force = { force: true };
        text(send, "Ban all the same");
      }
      throw error;
    });
    note(["You banned ", who(name), ` ${until(made.until)}; ${plural(hit, "player")} had to go.`], page.undo("bans.remove", { id: made.id }));
  });
}

/** The button "Quiet, everybody" in the header. */
export function quiet(page, place) {
  let isQuiet = false;
  const set = async () => {
    const frozen = !isQuiet;
    if (!(await page.act("rooms.set", { name: "*", frozen }))) return;
    note(frozen ? "Everybody is quiet: no message passes." : "Everybody may talk again.", page.undo("rooms.set", { name: "*", frozen: !frozen }));
  };
  const label = h("span");
  const pressed = button([icon("quiet"), label], set, "quiet");
  const show = (now) => {
    isQuiet = now;
    text(label, now ? "Let everybody talk" : "Quiet, everybody");
    pressed.classList.toggle("on", now);
  };
  show(false);
  if (place.firstChild) show(place.firstChild.classList.contains("on"));
  put(place, pressed);
  page.poll(async () => show((await page.ask("rooms.get", { name: "*" })).frozen));
}

// Pages.

const actions = (page, get) => page.isStaff && [
  button("Kick", () => kick(page, get())),
  button("Mute 5 minutes", () => mute(page, get())),
  button("Ban", () => ban(page, get()), "danger"),
];

/** A list of players with what may be done to them. */
export function playerList(page, empty) {
  const make = (client) => {
    const name = who(client.name);
    const link = h("a", { href: `#player?${new URLSearchParams({ of: client.id })}` }, name);
    const element = row(link, actions(page, () => element.item), (now) => {
      name.show(now.name);
      const count = now.rooms_total ?? now.rooms.length;
      const rooms = count > 0 && `in ${now.rooms.slice(0, 3).join(", ")}${count > 3 ? " …" : ""}`;
      return { chip: [now.muted && "muted", now.role], below: [PROTOCOLS[now.protocol] ?? now.protocol, rooms, ago(now.since), now.address ?? now.net] };
    });
    return element;
  };
  return list(make, (client) => client.id, empty, "Players");
}

export function players(page) {
  const search = input({ type: "search", placeholder: "Name or id", maxlength: 100 });
  const order = select(ORDERS, "since");
  const found = playerList(page, "Nobody is here.");
  const count = h("p.soft", { role: "status" });
  const query = () => ({ search: search.value.trim(), sort: order.value });
  const pager = page.pager(found, "clients.list", query, (total) => text(count, `${plural(total, "player")} ${search.value ? "found" : "here"}`));
  search.oninput = order.onchange = pager.restart;
  put(page.body, h("div.tools", field("Search", search), field("Order", order)), count, found, pager.buttons);
}

export function player(page) {
  const id = page.argument;
  const back = linkTo("players", "All players");
  const facts = h("dl.grid.facts");
  const buttons = h("div.buttons");
  let client = null;
  put(page.body, back, h("div.card", facts, buttons), page.isStaff && traffic(page, `watch:client:${id}`));
  page.poll(
    async () => {
      const former = client;
      client = await page.ask("clients.get", { id });
      put(page.heading, who(client.name));
      if (getSelection().isCollapsed) put(facts, factsOf(client).map(([term, value]) => value && h("div", h("dt", term), h("dd", value))));
      if (former?.role !== client.role || !former) {
        put(buttons, actions(page, () => client), page.isStaff && button("Mute longer", () => muteLonger(page, client)), granting(page, client));
      }
    },
    (error) => put(page.body, back, h("p", error.code === "not_found" ? "This player has left." : sentence(error))),
  );
}

const factsOf = (client) => [
  ["Rooms", client.rooms.length > 0 && names(client.rooms)],
  ["Speaks", [PROTOCOLS[client.protocol] ?? client.protocol, client.dialect && ` (${client.dialect})`]],
  ["Here for", ago(client.since)],
  ["Sent", `${plural(client.messages_in, "message")}, ${size(client.bytes_in)}`],
  ["Not read so far", size(client.queued_bytes)],
  ["Muted", client.muted ? "yes" : "no"],
  ["Plays at", client.origin],
  ["Address", client.address],
  ["Tag of the address", client.net],
  ["Id", client.id],
];

function granting(page, client) {
  if (!page.isOwner) return null;
  const { id, name } = client;
  if (client.role) return button("Let them moderate no more", () => page.act("clients.revoke", { id }));
  return button("Let this player moderate", async () => {
    const said = [who(name), ` may moderate from the game for ${duration(GRANT_MINUTES * 60)}, or until they leave.`];
    if (await page.act("clients.grant", { id, minutes: GRANT_MINUTES })) note(said, page.undo("clients.revoke", { id }));
  });
}

/** Messages of a player or a room, while somebody looks at them. */
export function traffic(page, topic) {
  return section("Messages", h("p.soft", "That you watch is written into the history."), live(page, topic, "Watch", (data) => [
    h("b", who(data.name)), ` ${data.kind} `, h("bdi", data.variable ?? data.command ?? "", " ", data.text ?? size(data.bytes)),
  ]));
}

/** Lines of a topic, once the button is pressed; `write` makes one of an event. */
export function live(page, topic, label, write) {
  const lines = h("ol.log", { tabindex: 0, "aria-label": label, hidden: true });
  const add = (data) => {
    const isAtEnd = lines.scrollTop + lines.clientHeight > lines.scrollHeight - 30;
    lines.append(h("li", write(data)));
    if (lines.children.length > LINES) lines.firstChild.remove();
    if (isAtEnd) lines.scrollTop = lines.scrollHeight;
  };
  const toggle = button(label, () => {
    lines.hidden = !lines.hidden;
    text(toggle, lines.hidden ? label : "Stop");
    put(lines);
    if (lines.hidden) page.unwatch(topic);
    else page.watch(topic, add);
  });
  return [toggle, lines];
}
