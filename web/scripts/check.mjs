// Builds into a temporary folder and compares it with server/web, byte for byte.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildInto } from "./build.mjs";

const served = resolve(dirname(fileURLToPath(import.meta.url)), "../../server/web");

function files(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

const fresh = mkdtempSync(join(tmpdir(), "manicule-web-"));
try {
  await buildInto(fresh);
  const committed = existsSync(served) ? files(served) : [];
  const names = new Set([...files(fresh), ...committed]);
  const differing = [...names].sort().filter((name) => {
    const [a, b] = [join(fresh, name), join(served, name)];
    return !existsSync(a) || !existsSync(b) || !readFileSync(a).equals(readFileSync(b));
  });
  if (differing.length > 0) {
    console.error(`server/web is not what web/ builds: ${differing.join(", ")}`);
    console.error("Run `npm run build` in web/ and commit the result.");
    process.exitCode = 1;
  } else {
    console.log(`server/web is what web/ builds: ${names.size} files, byte for byte.`);
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
