import { readFileSync } from "node:fs";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** The licences of all packages that end up in the application, as they ask for. */
function licences(): Plugin {
  const names = ["LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "license"];
  return {
    name: "licences",
    generateBundle(_, bundle) {
      const fonts = ["ibm-plex-mono", "ibm-plex-sans"]; // only styles name these
      const folders = new Set(fonts.map((font) => `node_modules/@fontsource/${font}`));
      const note = (id: string) => {
        const found = /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id);
        if (found?.[1]) folders.add(found[1]);
      };
      for (const part of Object.values(bundle))
        if (part.type === "chunk") part.moduleIds.forEach(note);
      for (const id of this.getModuleIds()) note(id);
      const texts = [...folders].sort().map((folder) => {
        const about = JSON.parse(readFileSync(`${folder}/package.json`, "utf8")) as {
          name: string;
          version: string;
          license?: string;
        };
        let text = about.license ?? "";
        for (const name of names) {
          try {
            text = readFileSync(`${folder}/${name}`, "utf8");
            break;
          } catch {
            // another name, or only the one in package.json
          }
        }
        return `${about.name} ${about.version}\n\n${text.trim()}\n`;
      });
      this.emitFile({
        type: "asset",
        fileName: "assets/licences.txt",
        source: texts.join(`\n${"-".repeat(79)}\n\n`),
      });
    },
  };
}

export default defineConfig({
  plugins: [react(), licences()],
  base: "/",
  build: {
    outDir: "../src/dicomlake/web/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/api": "http://127.0.0.1:8080", "/dicom-web": "http://127.0.0.1:8080" },
  },
});
