// Lists the sources and the built files with their SHA-256, so that a test without Node can tell
// whether what is served was built from what is here.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";

export const MANIFEST = "SOURCES.json";
const NOT_SOURCES = new Set(["node_modules"]);

function hashes(folder, skip) {
  const found = [];
  const walk = (at) => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      const path = join(at, entry.name);
      if (skip(relative(folder, path))) continue;
      if (entry.isDirectory()) walk(path);
      else found.push([relative(folder, path).split(sep).join("/"), path]);
    }
  };
  walk(folder);
  found.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    found.map(([name, path]) => [name, createHash("sha256").update(readFileSync(path)).digest("hex")]),
  );
}

/** Write the manifest of what was built from `sources` into the folder `built`. */
export function writeManifest(sources, built) {
  const manifest = {
    sources: hashes(sources, (name) => NOT_SOURCES.has(name)),
    built: hashes(built, (name) => name === MANIFEST),
  };
  writeFileSync(join(built, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
}
