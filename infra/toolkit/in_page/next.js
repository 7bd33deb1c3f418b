// Choose what to click or to fill in next, scroll it into view and say where it is.
({ seen, shapes, prefix, dangerous }) => {
  const known = new Set(seen);
  const never = new RegExp(dangerous, "i");
  const listens = window[Symbol.for("smoke")]?.listens ?? new WeakSet();
  const controls =
    "a[href], button, summary, [role=button], [role=tab], [role=menuitem], [role=link], [role=switch], [role=option]," +
    "[onclick], input[type=button], input[type=submit], input[type=checkbox], input[type=radio]";
  const texts = "input:not([type]), input[type=text], input[type=search], textarea";
  const found = [];
  const walk = (root) => {
    for (const element of root.querySelectorAll("*")) {
      if (found.length > 2000) return;
      if (element.matches(controls) || element.matches(texts) || element.onclick || listens.has(element))
        found.push(element);
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
  // A link to nowhere is a button: what happens is what a script makes of the click.
  const isButton = (link) => link.getAttribute("href").trim() === "#" || (listens.has(link) && link.hash);
  // What a person would enter: a word that is a number, valid JSON and a search term, too.
  const sample = (field) =>
    ({ email: "a@example.com", url: "https://example.com/", tel: "2024", date: "2024-01-01", time: "12:00" })[field.type] ??
    (field.type === "number" ? field.min || "1" : "2024");
  const setValue = (field, value) => {
    // By the element's own setter: React replaces it on each element, and would not notice.
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value").set.call(field, value);
    for (const type of ["input", "change"]) field.dispatchEvent(new Event(type, { bubbles: true }));
  };
  const fillIn = (form) => {
    for (const field of form.elements) {
      if (!field.willValidate || field.validity.valid || field.readOnly) continue;
      if (["checkbox", "radio"].includes(field.type)) field.click();
      else if (field.nodeName === "SELECT") setValue(field, [...field.options].find((one) => one.value)?.value ?? "");
      else if (field.type !== "file") setValue(field, sample(field));
    }
  };
  // Controls first, then fields, then links: whatever leads away from the page comes last.
  const turn = (element) => (element.matches(texts) ? 1 : links(element) && !isButton(element) ? 2 : 0);
  found.sort((one, other) => turn(one) - turn(other));
  for (const element of found) {
    if (["BODY", "HTML"].includes(element.nodeName)) continue;
    if (!element.matches(controls) && element.querySelectorAll("*").length > 30) continue;
    if (element.disabled || element.ariaDisabled === "true" || !element.checkVisibility({ visibilityProperty: true }))
      continue;
    let href = "";
    const field = element.matches(texts);
    if (field && (element.readOnly || element.value)) continue;
    if (links(element) && !isButton(element)) {
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
    const label = field ? element.labels?.[0]?.innerText || element.placeholder || element.name : "";
    const name = nameOf(element) || label || (element.id ? `#${element.id}` : tag);
    const key = href ? `a ${href}` : `${tag} ${name}`;
    if (known.has(key)) continue;
    if (never.test(name) || (href && never.test(new URL(href).pathname))) {
      untouched.push(name);
      continue;
    }
    const shape = `${tag} ${element.getAttribute("role") ?? ""} ${element.getAttribute("class") ?? ""} ${element.parentElement?.nodeName ?? ""}`;
    if ((shapes[shape] ?? 0) >= (href ? 8 : field ? 2 : 4)) continue;
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
    if (element.form && ["submit", "image"].includes(element.type) && !element.form.noValidate) fillIn(element.form);
    const text = field ? sample(element) : "";
    return { control: { key, shape, name: name === tag ? `<${tag}>` : `“${name}”`, x, y, text }, untouched, covered };
  }
  return { control: null, untouched, covered };
}
