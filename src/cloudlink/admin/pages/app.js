// The frame around the pages: logging in, navigation, and what a page may ask of the server.

import { Wire } from "./wire.js";
import { button, check, complain, duration, field, form, FRESH, h, icon, ICONS, input, note, put, RULE, secret, sentence, text, who } from "./dom.js";
import { now } from "./now.js";
import { player, players, quiet } from "./players.js";
import { cloud, project, room, rooms } from "./rooms.js";
import { bans, words } from "./sanctions.js";
import { history } from "./history.js";
import { server } from "./server.js";

const ROLES = ["viewer", "moderator", "owner"];
const TOKEN = "cloudlink-token"; // in sessionStorage: it ends with the tab
const THEME = "cloudlink-theme"; // in localStorage
const TOUCH_EVERY = 300_000; // milliseconds; a session that nobody touches ends
const POLL_EVERY = 2000;
const PAGE_SIZE = 50;
const ENDED = "Your session has ended: it was not used for long, or your account was changed. Log in again.";

/** Name in the address: title, what fills it, least role. */
const PAGES = {
  now: ["Now", now, "viewer"],
  players: ["Players", players, "viewer"],
  player: ["Player", player, "viewer"],
  rooms: ["Rooms", rooms, "viewer"],
  room: ["Room", room, "viewer"],
  bans: ["Bans and mutes", bans, "moderator"],
  words: ["Words", words, "moderator"],
  cloud: ["Cloud", cloud, "viewer"],
  project: ["Cloud project", project, "viewer"],
  history: ["History", history, "moderator"],
  server: ["Server", server, "viewer"],
};

const root = document.getElementById("app");
let setupCode = "";
let session = null;
let page = null; // the one that is shown
let frame = null; // the elements around it
let lastTouch = 0;

const wire = new Wire({
  state: showState,
  event: (topic, data) => page?.take(topic, data),
  answer: showMissing,
  hello: greet,
  ended: () => session && logIn(ENDED),
});

const can = (role) => ROLES.indexOf(session?.role) >= ROLES.indexOf(role);

// Before the login.

async function greet({ setup }) {
  const token = sessionStorage.getItem(TOKEN);
  if (frame.form && setup === Boolean(setupCode)) return; // somebody types into it
  if (setup) return welcome();
  if (!token) return logIn(setupCode && "This server has an owner already. Log in.");
  try {
    begin(await wire.request("resume", { token }));
  } catch (error) {
    if (error.code !== "offline") logIn(error.code === "not_logged_in" ? ENDED : sentence(error));
  }
}

function begin(login) {
  sessionStorage.setItem(TOKEN, login.token);
  const isSame = page && session.name === login.name && session.role === login.role;
  session = login;
  setupCode = "";
  lastTouch = Date.now();
  if (isSame) page.resume();
  else draw();
}

/** The only card of a page before the login. */
function card(title, ...contents) {
  page?.leave();
  page = session = null;
  for (const open of document.querySelectorAll("dialog")) open.close();
  const state = h("p.state", { role: "status" });
  put(root, h("main.card.narrow", brand("div"), state, h("h1", title), contents));
  document.title = `${title} · CloudLink`;
  frame = { state, form: root.querySelector("form") };
  showState(wire);
  root.querySelector("input")?.focus();
}

const brand = (tag, properties = {}) => h(`${tag}.brand`, properties, h("img", { src: "admin/icon.svg", alt: "", width: 28, height: 28 }), h("span", "CloudLink"));

/** A form for name and password; `method` takes them, and `more`. */
function credentials(label, method, more, properties, hint) {
  const name = input({ name: "name", autocomplete: "username", autocapitalize: "none", maxlength: 32, required: true });
  const password = secret({ name: "password", ...properties });
  const show = check("Show the password", { onchange: ({ target }) => (password.type = target.checked ? "text" : "password") });
  return form([field("Name", name), field("Password", password, hint), show], h("button.main", label), async () => {
    await wire.open();
    const login = await wire.request(method, { ...more, name: name.value.trim(), password: password.value });
    begin(login);
    if (login.warning) note(login.warning, null, "bad");
  });
}

function logIn(message) {
  sessionStorage.removeItem(TOKEN);
  setupCode = "";
  card("Log in", message && h("p", message), credentials("Log in", "login", {}, { autocomplete: "current-password" }));
}

function welcome() {
  if (!setupCode) {
    return card(
      "No owner yet",
      h("p", "Open the link in the server's terminal that contains ", h("code", "#setup="), "; ", h("code", "cloudlink admin link"), " makes a new one."),
    );
  }
  card(
    "Welcome",
    h("p", "Choose the owner's name and password. Whoever has them may do everything here."),
    credentials("Become the owner", "setup", { code: setupCode }, FRESH, RULE),
  );
}

async function logOut() {
  await wire.request("logout").catch(() => {});
  logIn("You have logged out.");
}

// After the login.

function draw() {
  const listed = Object.entries(PAGES).filter(([name, [, , role]]) => name in ICONS && can(role));
  const links = listed.map(([name, [title]]) => h("a", { href: `#${name}` }, icon(name), title));
  const state = h("p.state", { role: "status" });
  const toggle = (isOpen) => menu.setAttribute("aria-expanded", nav.classList.toggle("open", isOpen));
  const menu = h("button.menu", { type: "button", "aria-expanded": "false", "aria-controls": "nav", "aria-label": "Menu", onclick: () => toggle() }, icon("menu"));
  const foot = h("div.foot", button("Dark or light", changeTheme), button("Log out", logOut),
    h("p.soft", "Logged in as ", who(session.name), `, ${session.role}`));
  const nav = h("nav", { id: "nav", "aria-label": "Pages", onclick: ({ target }) => target.closest("a") && toggle(false) }, links, foot);
  const quieter = h("span");
  const missing = h("p.state", { role: "status" });
  const main = h("main", { tabindex: -1 });
  const skip = button("Skip to the content", () => main.focus(), "skip");
  put(root, skip, h("header", brand("a", { href: "#now" }), quieter, menu), h("div.body", nav, h("div.content", state, missing, main)));
  frame = { state, missing, main, links, quieter };
  showState(wire);
  show();
}

/** Show the page of the address. */
function show() {
  if (!frame?.main) return;
  const [wanted, argument] = location.hash.slice(1).split("?");
  const name = can(PAGES[wanted]?.[2] ?? "nobody") && wanted in PAGES ? wanted : "now";
  const [title, build] = PAGES[name];
  const isFirst = !page;
  page?.leave();
  for (const link of frame.links) link.setAttribute("aria-current", link.hash === `#${name}` ? "page" : "false");
  page = new Page(title, new URLSearchParams(argument).get("of") ?? "");
  put(frame.main, page.heading, page.body);
  build(page);
  if (can("moderator")) quiet(page, frame.quieter);
  document.title = `${title} · CloudLink`;
  scrollTo(0, 0);
  if (!isFirst) page.heading.focus({ preventScroll: true });
}

function showState({ state, retryAt }) {
  if (!frame) return card("Connecting");
  if (state === "open" || state === "closed") return put(frame.state);
  if (state === "connecting") return frame.state.firstChild || put(frame.state, "Connecting to the server …");
  const left = h("span", { "aria-hidden": true });
  const count = () => {
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    text(left, seconds > 0 ? ` in ${duration(seconds)}` : " now");
    if (left.isConnected) setTimeout(count, 500);
  };
  put(frame.state, "There is no connection to the server. The page tries again", left, ". ", button("Try now", () => wire.open()));
  count();
}

let missingTimer = 0;

function showMissing({ missing, processes }) {
  if (!missing || !frame.missing) return;
  clearTimeout(missingTimer);
  text(frame.missing, `${missing[1] ? missing.length : "One"} of ${processes} processes did not answer: ${missing.join(", ")}.`);
  missingTimer = setTimeout(() => put(frame.missing), 4 * POLL_EVERY); // lists ask again by then
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function changeTheme() {
  const isDark = (localStorage.getItem(THEME) ?? (prefersDark.matches ? "dark" : "light")) === "dark";
  localStorage.setItem(THEME, isDark ? "light" : "dark");
  applyTheme();
}

function applyTheme() {
  document.documentElement.dataset.theme = localStorage.getItem(THEME) ?? "";
}

/** A page, and what ends when it is left. */
class Page {
  #polls = [];
  #topics = new Map();
  #isGone = false;
  isOwner = can("owner");
  isStaff = can("moderator");
  session = session;

  constructor(title, argument) {
    this.argument = argument;
    this.heading = h("h1", { tabindex: -1 }, title);
    this.body = h("div.page");
  }

  /** Ask the server; throws `Refused`. */
  ask = (method, params) => wire.request(method, params);

  /** Change something, and poll at once. */
  async change(method, params) {
    const result = await this.ask(method, params);
    if (result.saved === false) note("This holds, but is not on the disk yet; the server keeps trying.", null, "bad");
    this.refresh();
    return result;
  }

  /** The same, but a refusal is shown, and undefined returned. */
  act = (method, params) => this.change(method, params).catch(complain);

  /** Return what takes a change back. */
  undo = (method, params) => () => this.change(method, params);

  /** Call `load` while the page is visible; `failed` gets refusals. */
  poll(load, failed = complain, every = POLL_EVERY) {
    let timer = 0;
    let isRunning = false;
    let isDue = false;
    let lastError = "";
    const run = async () => {
      clearTimeout(timer);
      isDue = isRunning;
      if (isRunning || this.#isGone) return;
      isRunning = true;
      try {
        if (!document.hidden && wire.state === "open") await load();
        lastError = "";
      } catch (error) {
        const isNew = error.message !== lastError && error.code !== "offline";
        if (isNew && !this.#isGone) failed(error);
        if (isNew) lastError = error.message;
      }
      isRunning = false;
      timer = setTimeout(run, isDue ? 0 : every);
    };
    this.#polls.push(run);
    run();
    return run;
  }

  /** Keep a list filled with what a method returns. */
  feed(found, method, params, failed) {
    this.poll(async () => found.show((await this.ask(method, params)).items), failed);
    return found;
  }

  /** Return what shows a refusal in place of the page. */
  refused = (back) => (error) => put(this.body, back, h("p", sentence(error)));

  /** The same for a part of a long list; `query()` returns more parameters. */
  pager(found, method, query = () => ({}), told = () => {}) {
    const before = [];
    let next = null;
    const move = (change) => () => {
      change();
      run();
    };
    const back = button("Back", move(() => before.pop()));
    const more = button("Next", move(() => before.push(next)));
    const run = this.poll(async () => {
      const at = before.length > 0 && { after: before.at(-1) };
      const part = await this.ask(method, { ...query(), ...at, limit: PAGE_SIZE });
      found.show(part.items);
      told(part.total);
      next = part.next;
      back.hidden = !before.length;
      more.hidden = next === null;
    });
    return { parts: [found, h("div.buttons", back, more)], restart: move(() => before.splice(0)) };
  }

  /** Take the events of a topic while the page is shown. */
  watch(topic, take) {
    this.#topics.set(topic, take);
    wire.request("subscribe", { topics: [topic] }).catch(complain);
  }

  unwatch(topic) {
    this.#topics.delete(topic);
    wire.request("unsubscribe", { topics: [topic] }).catch(() => {});
  }

  take = (topic, data) => this.#topics.get(topic)?.(data);

  refresh() {
    for (const run of this.#polls) run();
  }

  /** Go on after a new connection. */
  resume() {
    for (const [topic, take] of this.#topics) this.watch(topic, take);
    this.refresh();
  }

  leave() {
    this.#isGone = true;
    for (const topic of this.#topics.keys()) this.unwatch(topic);
  }
}

/** Take the code of a setup link out of the address. */
function takeCode() {
  const code = /^#setup=(.+)/.exec(location.hash)?.[1];
  if (!code) return false;
  setupCode = code;
  window.history.replaceState(null, "", location.pathname + location.search);
  return true;
}

addEventListener("hashchange", () => {
  if (!takeCode()) show();
  else if (!session) wire.open().then(greet, () => {});
});
document.addEventListener("visibilitychange", () => document.hidden || page?.refresh());
for (const kind of ["keydown", "pointerdown"]) {
  addEventListener(kind, () => {
    if (!session || Date.now() - lastTouch < TOUCH_EVERY) return;
    lastTouch = Date.now();
    wire.request("touch").catch(() => {});
  });
}

applyTheme();
takeCode();
wire.open();
