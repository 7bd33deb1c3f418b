// Puts what has changed into the page, and keeps what is open, and where it is scrolled to, as it is.
const main = document.querySelector("#content");
const light = document.querySelector("#live");
let shown = "";

const ago = (at) => {
  const seconds = Math.max(0, (Date.now() - Date.parse(at)) / 1000);
  if (seconds < 60) return "just now";
  for (const [size, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${name} ago`;
  }
};

const tellTimes = () => {
  for (const one of main.querySelectorAll("time")) {
    one.title = one.dateTime;
    one.textContent = ago(one.dateTime);
  }
};

const replace = (text) => {
  const open = [...main.querySelectorAll("details[open]")].map((one) => one.id);
  const focused = document.activeElement?.closest?.("details")?.id;
  const scrolled = [...main.querySelectorAll("details[open] pre")].map((one) => [one.scrollTop, one.scrollLeft]);
  main.innerHTML = text;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  main.querySelectorAll("details[open] pre").forEach((one, number) => {
    if (scrolled[number]) [one.scrollTop, one.scrollLeft] = scrolled[number];
  });
  if (focused) document.getElementById(focused)?.querySelector("summary").focus({ preventScroll: true });
};

const look = async () => {
  try {
    const answer = await fetch("/__emulator__/console", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    const selecting = !getSelection().isCollapsed;
    if (text !== shown && !selecting) {
      shown = text;
      replace(text);
    }
    light.textContent = "live";
    light.className = "";
  } catch {
    light.textContent = "no answer";
    light.className = "gone";
  }
  tellTimes();
};

tellTimes();
const again = async () => {
  if (!document.hidden) await look();
  setTimeout(again, 1000);
};
again();
