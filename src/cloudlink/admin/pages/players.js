// Players; kicking, muting and banning.

import {
  ago, button, check, duration, field, h, icon, input, linkOf, linkTo, list, names, note, plural, put, question,
  questionOf, row, section, select, sentence, size, text, until, who,
} from "./dom.js";

const MUTE_TIME = 300; // seconds, beside a name
const BAN_TIME = 86400; // seconds, what is proposed
const GRANT_MINUTES = 120;
const LINES = 500;
const EVER = "ever";
const TIMES = [[300, "5 minutes"], [3600, "1 hour"], [86400, "1 day"], [604800, "1 week"]];
const PROTOCOLS = { cl4: "CloudLink", scratch: "Scratch cloud" };
const ORDERS = [["since", "Longest here first"], ["-since", "Newest first"], ["name", "By name"]];

function askReason() {
  const control = input({ maxlength: 80 });
  return [control, field("Reason (they read it)", control)];
}

const timeSelect = (page, time) => select(page ? [...TIMES, [EVER, "For ever"]] : TIMES, time);

function kick(page, client) {
  const [why, whyField] = askReason();
  const contents = [h("p", "They may come back at once, unless you ban them."), whyField];
  questionOf("Kick", client.name, contents, async () => {
    await page.change("clients.kick", { id: client.id, reason: why.value });
    note(["You kicked ", who(client.name), "."]);
  });
}

async function mute(page, client, seconds = MUTE_TIME, reason = "", hidden = false) {
  const done = await page.act("mutes.add", { target: { client: client.id }, seconds, reason, hidden });
  if (done) note(["You muted ", who(client.name), ` for ${duration(seconds)}.`], page.undo("mutes.remove", { id: done.mute.id }));
}

function muteLonger(page, client) {
  const time = timeSelect(null, 3600);
  const [why, whyField] = askReason();
  const hidden = check("Hidden: they do not notice it");
  questionOf("Mute", client.name, [field("How long", time), whyField, hidden], () =>
    mute(page, client, Number(time.value), why.value, hidden.firstChild.checked));
}

function ban(page, client) {
  const targets = [[{ client: client.id }, "Their address: whoever plays from there"]];
  if (client.name) targets.push([{ name: client.name }, "This name only, whoever has it"]);
  banTarget(page, client.name, targets);
}

/** The dialog of a ban; `targets` are pairs of a target and its label. */
export function banTarget(page, name, targets) {
  const [why, whyField] = askReason();
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
  const contents = [h("fieldset", h("legend", "Whom"), options), field("How long", time), whyField];
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

/** Turn a rule of a room on or off; say `said(is, name)`. */
export async function toggleRule(page, rule, { name, [rule]: was }, said) {
  if (await page.act("rooms.set", { name, [rule]: !was })) note(said(!was, name), page.undo("rooms.set", { name, [rule]: was }));
}

/** The button "Quiet, everybody" in the header. */
export function quiet(page, place) {
  let frozen = false;
  const set = () =>
    toggleRule(page, "frozen", { name: "*", frozen }, (is) => (is ? "Everybody is quiet: no message passes." : "Everybody may talk again."));
  const label = h("span");
  const pressed = button([icon("quiet"), label], set, "quiet");
  const show = (now) => {
    frozen = now;
    text(label, now ? "Let everybody talk" : "Quiet, everybody");
    pressed.classList.toggle("on", now);
  };
  show(false);
  if (place.firstChild) show(place.firstChild.classList.contains("on"));
  put(place, pressed);
  page.poll(async () => show((await page.ask("rooms.get", { name: "*" })).frozen));
}

const actions = (page, get) => page.isStaff && [
  button("Kick", () => kick(page, get())),
  button("Mute 5 minutes", () => mute(page, get())),
  button("Ban", () => ban(page, get()), "danger"),
];

/** Players, with what may be done to them. */
export function playerList(page, empty) {
  const make = (client, get) => {
    const name = who(client.name);
    return row(linkOf("player", client.id, name), actions(page, get), (now) => {
      name.show(now.name);
      const count = now.rooms_total ?? now.rooms.length;
      const rooms = count > 0 && `in ${now.rooms.slice(0, 3).join(", ")}${count > 3 ? " …" : ""}`;
      return { chip: [now.muted && "muted", now.role], below: [PROTOCOLS[now.protocol] ?? now.protocol, rooms, ago(now.since), now.address ?? now.net] };
    });
  };
  return list(make, "id", empty, "Players");
}

export function players(page) {
  const search = input({ type: "search", placeholder: "Name or id", maxlength: 100 });
  const order = select(ORDERS, "since");
  const count = h("p.soft", { role: "status" });
  const query = () => ({ search: search.value.trim(), sort: order.value });
  const told = (total) => text(count, `${plural(total, "player")} ${search.value ? "found" : "here"}`);
  const pager = page.pager(playerList(page, "Nobody is here."), "clients.list", query, told);
  search.oninput = order.onchange = pager.restart;
  put(page.body, h("div.tools", field("Search", search), field("Order", order)), count, pager.parts);
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
  ["Address tag", client.net],
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

/** Messages of a player or a room. */
export function traffic(page, topic) {
  return section("Messages", h("p.soft", "Watching is written into the history."), live(page, topic, "Watch", (data) => [
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
