// Choose what to click next, scroll it into view and say where it is.
({ seen, shapes, prefix, dangerous }) => {
  const known = new Set(seen);
  const never = new RegExp(dangerous, "i");
  const listens = window[Symbol.for("smoke")]?.listens ?? new WeakSet();
  const controls =
    "a[href], button, summary, [role=button], [role=tab], [role=menuitem], [role=link], [role=switch], [role=option]," +
    "[onclick], input[type=button], input[type=submit], input[type=checkbox], input[type=radio]";
  const found = [];
  const walk = (root) => {
    for (const element of root.querySelectorAll("*")) {
      if (found.length > 2000) return;
      if (element.matches(controls) || element.onclick || listens.has(element)) found.push(element);
      if (element.shadowRoot) walk(element.shadowRoot);
    }
  };
  walk(document);
  const nameOf = (element) =>
    (element.ariaLabel || element.innerText || element.value || element.title || element.textContent || "")
      .trim()
      .replace(/\s+/g, " ")
      .slice(0, 50);
  const untouched = [];
  let covered = 0;
  const links = (element) => (element.nodeName === "A" && element.hasAttribute("href") ? 1 : 0);
  found.sort((one, other) => links(one) - links(other));
  for (const element of found) {
    if (["BODY", "HTML"].includes(element.nodeName)) continue;
    if (!element.matches(controls) && element.querySelectorAll("*").length > 30) continue;
    if (element.disabled || element.ariaDisabled === "true" || !element.checkVisibility({ visibilityProperty: true }))
      continue;
    let href = "";
    if (links(element)) {
      if (element.hasAttribute("download") || (element.target && element.target !== "_self")) continue;
      const url = new URL(element.href, document.baseURI);
      if (url.protocol !== "javascript:") {
        if (url.origin !== location.origin || !url.pathname.startsWith(prefix)) continue;
        if (/\.(?!html?$|xhtml$|php$)[a-z0-9]{1,5}$/i.test(url.pathname)) continue;
        href = url.href.replace(/#.*/, (hash) => (hash.startsWith("#/") || hash.startsWith("#!") ? hash : ""));
        if (href === location.href.replace(/#.*/, "") && !element.getAttribute("href").includes("#")) continue;
      }
    }
    const tag = element.nodeName.toLowerCase();
    const name = nameOf(element) || (element.id ? `#${element.id}` : tag);
    const key = href ? `a ${href}` : `${tag} ${name}`;
    if (known.has(key)) continue;
    if (never.test(name) || (href && never.test(new URL(href).pathname))) {
      untouched.push(name);
      continue;
    }
    const shape = `${tag} ${element.getAttribute("role") ?? ""} ${element.getAttribute("class") ?? ""} ${element.parentElement?.nodeName ?? ""}`;
    if ((shapes[shape] ?? 0) >= (href ? 8 : 4)) continue;
    element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    const box = element.getClientRects()[0];
    if (!box || box.width < 1 || box.height < 1) continue;
    const x = box.left + box.width / 2;
    const y = box.top + box.height / 2;
    const hit = element.getRootNode().elementFromPoint(x, y);
    if (!hit || !(element === hit || element.contains(hit) || hit.contains(element) && hit.nodeName === "LABEL")) {
      covered += 1;
      continue;
    }
    return { control: { key, shape, name: name === tag ? `<${tag}>` : `“${name}”`, x, y }, untouched, covered };
  }
  return { control: null, untouched, covered };
}
