/// <reference types="node" />
// Builds what customers see into the Go package that embeds it. Two programs
// that share no file: the script of the script tag, and the chat page. Run in
// frontend/: npx vite build --config widget/vite.config.ts
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const program = (entry: string, name: string, format: "iife" | "es") => ({
  consumer: "client" as const,
  build: {
    outDir: here("../../backend/server/channel/web/dist"),
    emptyOutDir: false, // the folder holds a committed file and the other program
    copyPublicDir: false,
    target: "es2020",
    cssCodeSplit: false,
    modulePreload: false as const,
    rolldownOptions: {
      input: here(entry),
      output: { format, entryFileNames: `${name}.js`, assetFileNames: `${name}[extname]` },
    },
  },
});

export default defineConfig({
  root: here("."),
  publicDir: false,
  cacheDir: here("../node_modules/.vite-widget"),
  environments: {
    widget: program("src/loader/main.ts", "widget", "iife"),
    chat: program("src/main.ts", "chat", "es"),
  },
  builder: {
    buildApp: async (builder) => {
      for (const name of ["widget", "chat"]) {
        const environment = builder.environments[name];
        if (!environment) throw new Error(`no environment ${name}`);
        await builder.build(environment);
      }
    },
  },
});
