import { svelte } from '@sveltejs/vite-plugin-svelte';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Where the bridge of a running Parley listens, for `npm run dev` against real data. */
const bridge = process.env.PARLEY_BRIDGE ?? 'http://127.0.0.1:7788';

export default defineConfig(({ mode }) => ({
  // State classes are tested as they run in the window, not as on a server.
  plugins: [svelte(mode === 'test' ? { dynamicCompileOptions: () => ({ generate: 'client' }) } : {})],
  resolve: {
    ...(mode === 'test' ? { conditions: ['browser'] } : {}),
    // The Icon that lucide's icons import is ours; only they import it by this name.
    alias: [{ find: /^\.\.\/Icon\.svelte$/, replacement: fileURLToPath(new URL('src/ui/Icon.svelte', import.meta.url)) }],
  },
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: ['safari17', 'chrome120'],
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: {
    proxy: {
      '/call': bridge,
      '/files': bridge,
      '/events': { target: bridge, ws: true },
    },
  },
  test: {
    include: ['test/**/*.test.ts', 'src/**/*.test.ts'],
    environment: 'node',
  },
}));
