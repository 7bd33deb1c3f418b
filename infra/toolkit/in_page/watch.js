// Runs before the page's own scripts: remembers what listens to clicks, and tells what no event of the browser tells.
(() => {
  const listens = new WeakSet();
  const add = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (type, ...rest) {
    if (this instanceof Element && ["click", "mousedown", "pointerdown"].includes(type)) listens.add(this);
    return add.call(this, type, ...rest);
  };
  const tell = window.__smokeTold;
  add.call(window, "unhandledrejection", (event) => {
    const reason = event.reason;
    tell?.({ what: "rejection", text: String(reason?.message ?? reason) });
  });
  add.call(document, "securitypolicyviolation", (event) => {
    if (event.disposition !== "enforce") return;
    tell?.({
      what: "policy",
      directive: event.effectiveDirective,
      url: event.blockedURI,
      source: event.sourceFile,
      line: event.lineNumber,
    });
  });
  Object.defineProperty(window, Symbol.for("smoke"), { value: { listens } });
})();
