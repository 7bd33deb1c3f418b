// Runs before the page's own scripts: remembers what listens to clicks, and tells what no event of the browser tells.
(() => {
  const listens = new WeakSet();
  const replaced = new WeakSet(); // images for which the page has something else when they are missing
  const add = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (type, ...rest) {
    if (this instanceof HTMLImageElement && type === "error") replaced.add(this);
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
  // A script that looks at the status of a failed call, or takes it that its body is no JSON, knows what it does.
  const heeded = new Set();
  const heed = (url) => {
    if (url && !heeded.has(url)) tell?.({ what: "heeded", url });
    heeded.add(url);
  };
  const missed = ({ target }) => {
    if (target instanceof HTMLImageElement && (target.onerror || replaced.has(target))) heed(target.currentSrc || target.src);
  };
  add.call(window, "error", missed, true);
  const getter = (prototype, name) => Object.getOwnPropertyDescriptor(prototype, name).get;
  const statusOf = { Response: getter(Response.prototype, "status"), XHR: getter(XMLHttpRequest.prototype, "status") };
  const watch = (prototype, name, status, url) => {
    const get = getter(prototype, name);
    Object.defineProperty(prototype, name, {
      configurable: true,
      enumerable: true,
      get() {
        if (status.call(this) >= 400) heed(this[url]);
        return get.call(this);
      },
    });
  };
  watch(Response.prototype, "ok", statusOf.Response, "url");
  watch(Response.prototype, "status", statusOf.Response, "url");
  watch(XMLHttpRequest.prototype, "status", statusOf.XHR, "responseURL");
  const json = Response.prototype.json;
  Response.prototype.json = function () {
    const read = json.call(this);
    if (statusOf.Response.call(this) >= 400) read.catch(() => heed(this.url));
    return read;
  };
  Object.defineProperty(window, Symbol.for("smoke"), { value: { listens } });
})();
