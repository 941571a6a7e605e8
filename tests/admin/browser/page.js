// What the tests do in the dashboard: find things by what people read, use them, and wait.
window.lab = (() => {
  const TIME = 20_000; // milliseconds
  const PAUSE = 10;
  const CONTROLS = "button, a, summary, input, select, textarea";

  const isVisible = (element) => element.checkVisibility({ visibilityProperty: true });
  const top = () => document.querySelector("dialog[open]") ?? document.body;
  const told = (element) => (element.getAttribute("aria-label") ?? element.textContent).trim();

  /** Wait until something is found. What is not on the page yet may be looked into: that error counts as nothing found. */
  async function until(look, what) {
    const end = Date.now() + TIME;
    for (;;) {
      let failure = "";
      try {
        const found = look();
        if (found) return found;
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        failure = ` ${error}.`;
      }
      if (Date.now() > end) throw new Error(`Not in time: ${what}.${failure} The page shows: ${document.body.innerText}`);
      await new Promise((resume) => setTimeout(resume, PAUSE));
    }
  }

  /** The row of the list that is about somebody. */
  const row = (name) => [...document.querySelectorAll("li.row")].find((one) => one.querySelector(".title")?.textContent.includes(name));
  const place = (within) => (within === null ? top() : within === "notes" ? document.getElementById("notes") : row(within));
  const find = (label, within) =>
    [...(place(within)?.querySelectorAll("button, a, summary") ?? [])].find((one) => isVisible(one) && !one.disabled && told(one) === label);
  const control = (label) => {
    const found = [...top().querySelectorAll("label")].find((one) => isVisible(one) && one.innerText.trim().startsWith(label));
    return found && (found.control ?? document.getElementById(found.htmlFor));
  };

  return {
    until,
    see: (what) => until(() => document.body.innerText.includes(what), `see ${what}`),
    gone: (what) => until(() => !document.body.innerText.includes(what), `${what} is gone`),
    async click(label, within) {
      (await until(() => find(label, within), `click ${label} of ${within}`)).click();
    },
    async fill(label, value) {
      const element = await until(() => control(label), `fill ${label}`);
      if (element.type === "checkbox" || element.type === "radio") return element.click();
      element.value = value;
      element.dispatchEvent(new Event("input", { bubbles: true }));
      element.dispatchEvent(new Event("change", { bubbles: true }));
    },
    labels: () => [...top().querySelectorAll(CONTROLS)].filter(isVisible).map(told).filter(Boolean),
    focused: () => told(document.activeElement),
    /** The controls that are too small for a finger: their sizes in CSS pixels. */
    small: (least) =>
      [...document.querySelectorAll(CONTROLS)]
        .filter((one) => isVisible(one) && !one.classList.contains("skip"))
        .map((one) => [one, (one.closest("label") ?? one).getBoundingClientRect()])
        .filter(([, { width, height }]) => width < least || height < least)
        .map(([one, { width, height }]) => `${one.tagName} ${told(one)}: ${width} x ${height}`),
    /** Milliseconds from using something until the page shows what comes of it. */
    async measure(use, look) {
      const start = performance.now();
      use();
      for (;;) {
        if (look()) break;
        if (performance.now() - start > TIME) throw new Error(`Not in time: ${look}`);
        await new Promise((resume) => {
          const channel = new MessageChannel();
          channel.port1.onmessage = resume;
          channel.port2.postMessage(null);
        });
      }
      return performance.now() - start;
    },
    find,
    row,
    control,
  };
})();
