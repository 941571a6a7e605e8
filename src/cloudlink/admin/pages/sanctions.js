// Bans, mutes and unwanted words.

import {
  ago, button, check, duration, field, form, h, input, list, note, plural, put, question, row, section, select, until, who,
} from "./dom.js";
import { banTarget } from "./players.js";

const KINDS = { name: "A name", address: "An address", network: "A network, such as 203.0.113.0/24" };

export function bans(page) {
  const search = input({ type: "search", maxlength: 100 });
  const make = (method, done) => (item) => {
    const name = item.name ?? item.value;
    const remove = async () => (await page.act(method, { id: item.id })) && note([who(name), done]);
    const isMine = page.isOwner || item.by === page.session.name || method === "mutes.remove";
    return row(who(name), isMine && button("Remove", remove), (now) => ({
      chip: [now.kind, now.hidden && "hidden"],
      below: [now.reason, until(now.until), `by ${now.by}, ${ago(now.at)} ago`, now.hits > 0 && `${plural(now.hits, "attempt")} to come back`],
    }));
  };
  const found = list(make("bans.remove", " may come back."), "id", "Nobody is banned.", "Bans");
  const pager = page.pager(found, "bans.list", () => ({ search: search.value }));
  search.oninput = pager.restart;
  put(
    page.body,
    h("div.buttons", button("Ban by hand", () => byHand(page))),
    section("Bans", field("Search", search), pager.parts),
    section("Mutes", page.pager(list(make("mutes.remove", " may talk again."), "id", "Nobody is muted.", "Mutes"), "mutes.list").parts),
  );
}

function byHand(page) {
  const kinds = Object.entries(KINDS);
  const kind = select(page.isOwner ? kinds : kinds.slice(0, 1), "name");
  const value = input({ maxlength: 200, required: true });
  question("Ban by hand", [field("What", kind), field("Which", value)], "Next", () =>
    banTarget(page, value.value, [[{ [kind.value]: value.value }, KINDS[kind.value]]]));
}

// Words.

const ACTIONS = { block: "Drop the message", mask: "Replace the word by ***", mute: "Mute the player", kick: "Kick the player", notice: "Only tell me" };
const SCOPES = { messages: "Messages", names: "Names of players", rooms: "Names of rooms", variables: "Variables" };

export function words(page) {
  const remove = async ({ id, kind, entries, action, scope, seconds }) => {
    const filter = { kind, entries, action, scope, ...(seconds && { seconds }) };
    if (await page.act("filters.remove", { id })) note("The rule is removed.", page.undo("filters.add", filter));
  };
  const make = (filter) => {
    const { entries } = filter;
    const title = h("bdi", entries.slice(0, 12).join(", "), entries.length > 12 && ` and ${entries.length - 12} more`);
    return row(title, page.isOwner && button("Remove", () => remove(filter), "danger"), (now) => ({
      chip: [now.kind === "regex" && "regular expressions"],
      below: [ACTIONS[now.action] + (now.seconds ? ` for ${duration(now.seconds)}` : ""), now.scope.map((name) => SCOPES[name]).join(", ")],
    }));
  };
  const said = input({ maxlength: 1000, required: true });
  const verdict = h("p", { role: "status" });
  const test = form([field("A sentence", said), verdict], h("button.main", "Try it"), async () => {
    const { matches, masked } = await page.ask("filters.test", { text: said.value });
    const done = [...new Set(matches.map(({ action }) => ACTIONS[action]))].join("; ");
    put(verdict, done ? [done, ": ", h("bdi", masked)] : "This passes.");
  });
  const rules = section("Rules", page.feed(list(make, "id", "There are no rules.", "Rules"), "filters.list"));
  put(page.body, page.isOwner && h("div.buttons", button("Add words", () => add(page))), rules, section("Try the rules", test));
}

function add(page) {
  const kind = select([["words", "Words (with * at an end: parts of words)"], ["regex", "Regular expressions"]], "words");
  const entries = h("textarea", { rows: 5, spellcheck: "false", required: true });
  const action = select(Object.entries(ACTIONS), "block", { onchange: () => (time.hidden = action.value !== "mute") });
  const minutes = input({ type: "number", min: 1, max: 10080, value: 5 });
  const time = field("Minutes", minutes);
  const scopes = Object.entries(SCOPES).map(([name, label], place) => check(label, { name, checked: place < 2 }));
  time.hidden = true;
  const contents = [field("Kind", kind), field("One a line", entries), field("What happens", action), time, h("fieldset", h("legend", "Where"), scopes)];
  question("Add words", contents, "Add", () => {
    const lines = entries.value.split("\n").map((line) => line.trim()).filter(Boolean);
    const scope = scopes.map(({ firstChild }) => firstChild).filter(({ checked }) => checked).map(({ name }) => name);
    const seconds = action.value === "mute" && { seconds: minutes.value * 60 };
    return page.change("filters.add", { kind: kind.value, entries: lines, action: action.value, scope, ...seconds });
  });
}
