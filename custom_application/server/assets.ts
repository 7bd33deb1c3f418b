/** The built page: read into memory at start, so that only what the build made can ever be served. */

import { readdir } from "node:fs/promises";
import { join, relative, sep } from "node:path";

import { type Body, encode } from "./reply.ts";

export type Assets = ReadonlyMap<string, Asset>;

export interface Asset {
  body: Body;
  contentType: string;
  cacheControl: string;
}

/** Names that Bun's bundler gives: their content never changes. */
const HASHED = /-[0-9a-z]{8}\.\w+$/;

/** Give the files of `folder` by their path ("index.html"). Throws when there is no page in it. */
export async function loadAssets(folder: string): Promise<Assets> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const assets = new Map<string, Asset>();
  for (const entry of entries.filter((found) => found.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const file = Bun.file(path);
    assets.set(relative(folder, path).split(sep).join("/"), {
      body: encode(await file.bytes(), file.type),
      contentType: file.type,
      cacheControl: HASHED.test(entry.name) ? "private, max-age=31536000, immutable" : "no-cache",
    });
  }
  if (!assets.has("index.html")) throw new Error("dist/index.html is missing: run `bun run build` first");
  return assets;
}
