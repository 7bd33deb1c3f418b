// Is there anything to be seen? Which stylesheets have no rules? Where do the links lead?
() => {
  const body = document.body;
  const visible = (element) => {
    const box = element.getBoundingClientRect();
    return element.checkVisibility() && box.width > 0 && box.height > 0;
  };
  const things = "img, svg, canvas, video, audio, iframe, object, embed, input, button, select, textarea, hr, progress, meter";
  const elements = [];
  const walk = (root) => {
    for (const element of root.querySelectorAll("*")) {
      if (elements.length > 20000) return;
      elements.push(element);
      if (element.shadowRoot) walk(element.shadowRoot);
    }
  };
  walk(document);
  const drawn = (element) => {
    const style = getComputedStyle(element);
    return style.backgroundImage !== "none" || style.content.startsWith('"');
  };
  const text = (root) =>
    [...root.childNodes].some((node) => node.nodeType === 3 && node.data.trim() && root.nodeName !== "NOSCRIPT");
  const hidden = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "TITLE", "HEAD", "META", "LINK"]);
  const shown =
    !body ||
    body.nodeName === "FRAMESET" ||
    (body.innerText || "").trim() !== "" ||
    elements.some(
      (element) =>
        !hidden.has(element.nodeName) &&
        !element.closest("head") &&
        visible(element) &&
        (element.matches(things) || text(element) || drawn(element)),
    );
  const unstyled = [];
  for (const link of document.querySelectorAll('link[rel~="stylesheet" i]')) {
    if (link.disabled || !link.href || new URL(link.href).origin !== location.origin) continue;
    let rules = -1;
    try {
      rules = link.sheet ? link.sheet.cssRules.length : 0;
    } catch {}
    if (rules === 0) unstyled.push(link.href);
  }
  const links = new Set();
  for (const element of elements) {
    if (element.nodeName === "A" && element.href && /^https?:/.test(element.href)) links.add(element.href);
  }
  let root = "";
  const empty = body && [...body.children].find((child) => !hidden.has(child.nodeName) && !child.children.length);
  if (!shown && empty) root = empty.id ? `#${empty.id}` : `<${empty.nodeName.toLowerCase()}>`;
  const complains = /\b(error|fail(ed|ure)?|could ?n[o']t|can ?not|unable|not found|404|wrong)\b/i.test(body?.innerText);
  // What a router says that knows no such page: a line of its own on a page with little else (a list of HTTP's answers
  // has such lines, too), one that names the address, or nothing else at all.
  const says = /^\W*(error )?404\W+((page )?not found|error|page)\W*$|^\W*(\w+ )?page (was |could )?not (be )?found\W*$/i;
  const names = /not found|no (route|match)|can ?not (get|match|find)/i;
  const here = location.pathname;
  const all = (body?.innerText || "").trim();
  const lines = all.split("\n").map((line) => line.trim());
  const little = all.length < 600;
  const unknown = (line) => (little && says.test(line)) || (line.length < 200 && line.includes(here) && names.test(line));
  const lost = /^(404\W*)?not found\W*$/i.test(all) ? all : lines.find(unknown) || "";
  return { shown, root, complains, lost, unstyled, links: [...links].slice(0, 300) };
}
