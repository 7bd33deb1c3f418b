/** Answers: compressed once, with entity tags, and with the headers that keep a browser from guessing. */

export interface Body {
  plain: Uint8Array<ArrayBuffer>;
  gzip: Uint8Array<ArrayBuffer> | null;
  tag: string;
}

const COMPRESSIBLE = /^(?:text\/|application\/(?:json|javascript|manifest\+json)|image\/svg)/;
const WORTH_COMPRESSING = 1024;

const SECURITY = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
};

export function encode(plain: Uint8Array<ArrayBuffer>, contentType: string): Body {
  const worth = COMPRESSIBLE.test(contentType) && plain.length > WORTH_COMPRESSING;
  return { plain, gzip: worth ? Bun.gzipSync(plain, { level: 9 }) : null, tag: Bun.hash(plain).toString(36) };
}

/** Answer with `body`, or with 304 when the visitor has it already. */
export function replyWith(request: Request, body: Body, contentType: string, cacheControl: string): Response {
  const zipped = body.gzip !== null && acceptsGzip(request.headers.get("accept-encoding") ?? "");
  const tag = `"${body.tag}${zipped ? "-gz" : ""}"`;
  const headers = new Headers({ ...SECURITY, ETag: tag, "Cache-Control": cacheControl });
  if (body.gzip) headers.set("Vary", "Accept-Encoding");
  if (matches(request.headers.get("if-none-match"), tag)) return new Response(null, { status: 304, headers });
  headers.set("Content-Type", contentType);
  if (zipped) headers.set("Content-Encoding", "gzip");
  return new Response(zipped ? body.gzip : body.plain, { headers });
}

/** Answer with a small JSON document that nobody keeps. */
export function replyJson(value: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return Response.json(value, { status, headers: { ...SECURITY, "Cache-Control": "no-store", ...headers } });
}

function acceptsGzip(header: string): boolean {
  return header.split(",").some((part) => /^\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$)[\d.]+\s*)?$/i.test(part));
}

function matches(header: string | null, tag: string): boolean {
  const bare = (text: string) => text.trim().replace(/^W\//, "");
  return header !== null && header.split(",").some((one) => one.trim() === "*" || bare(one) === tag);
}
