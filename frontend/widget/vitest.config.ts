import { defineConfig } from "vitest/config";

// Pure logic only: what needs a browser and a server is tested from Go, in
// backend/server/channel/web.
export default defineConfig({
  root: import.meta.dirname,
  cacheDir: "../node_modules/.vite-widget",
  test: { include: ["test/**/*.test.ts"], environment: "node" },
});
