// Builds the page into server/web, or into the folder given, and writes its manifest.

import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { writeManifest } from "./manifest.mjs";

const web = dirname(dirname(fileURLToPath(import.meta.url)));

/** Build into `outDir`, which is emptied first. */
export async function buildInto(outDir) {
  await build({ root: web, build: { outDir, emptyOutDir: true }, logLevel: "warn" });
  writeManifest(web, outDir);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildInto(resolve(process.argv[2] ?? resolve(web, "../server/web")));
}
