// Bundles each page of src/ into src/gated/inspect/bundles/PAGE.{js,css}. The first line of each
// bundle is a digest of what it was made from: a test compares it, so that CI needs no node.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const PAGES = ["explorer", "lesson"];
const OUT = "../src/gated/inspect/bundles";

/** SHA-256 over names and contents; tests/inspect/test_bundles.py computes the same. */
function digest(page) {
  const shared = ["package-lock.json", "package.json", "tsconfig.json", "build.mjs"];
  const own = ["parts", page].flatMap((folder) =>
    readdirSync(join("src", folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  const hash = createHash("sha256");
  for (const file of [...shared, ...own].sort()) {
    hash.update(`${file}\0`).update(readFileSync(file)).update("\0");
  }
  return hash.digest("hex");
}

for (const page of PAGES) {
  const result = await build({
    entryPoints: [`src/${page}/main.tsx`],
    bundle: true,
    minify: true,
    write: false,
    outdir: "out",
    format: "iife",
    target: "es2022",
    charset: "utf8",
    legalComments: "inline",
    logLevel: "warning",
  });
  for (const file of result.outputFiles) {
    const kind = file.path.endsWith(".css") ? "css" : "js";
    writeFileSync(`${OUT}/${page}.${kind}`, `/* ${digest(page)} */\n${file.text}`);
    console.log(`${page}.${kind}: ${(file.contents.length / 1000).toFixed(0)} kB`);
  }
}
