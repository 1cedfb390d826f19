import { svelte } from '@sveltejs/vite-plugin-svelte';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Where the bridge of a running Parley listens, for `npm run dev` against real data. */
const bridge = process.env.PARLEY_BRIDGE ?? 'http://127.0.0.1:7788';

/**
 * The window's script is asked for by start.ts once something is painted; its
 * styles are what is painted with, so they stand in the page itself: asking for
 * them would be one more way to the program and back before the first picture.
 */
function paintedFirst(): Plugin {
  let styles = '';
  return {
    name: 'painted-first',
    generateBundle: {
      order: 'pre',
      handler(_, bundle) {
        const files = new Set<string>();
        const seen = new Set<string>();
        const collect = (file: string): void => {
          const chunk = bundle[file];
          if (seen.has(file) || chunk?.type !== 'chunk') return;
          seen.add(file);
          chunk.imports.forEach(collect); // what it builds on comes before it
          for (const style of chunk.viteMetadata?.importedCss ?? []) files.add(style);
        };
        for (const chunk of Object.values(bundle)) {
          if (chunk.type === 'chunk' && chunk.facadeModuleId?.endsWith('/src/main.ts')) collect(chunk.fileName);
        }
        styles = [...files].map((file) => (bundle[file]?.type === 'asset' ? String(bundle[file].source) : '')).join('');
        for (const file of files) {
          // Else whatever is loaded later would bring them a second time.
          for (const chunk of Object.values(bundle)) if (chunk.type === 'chunk') chunk.viteMetadata?.importedCss.delete(file);
          delete bundle[file];
        }
      },
    },
    transformIndexHtml: {
      order: 'post',
      handler: () => (styles ? [{ tag: 'style', children: styles, injectTo: 'head' }] : []),
    },
  };
}

export default defineConfig(({ mode }) => ({
  // State classes are tested as they run in the window, not as on a server.
  plugins: [svelte(mode === 'test' ? { dynamicCompileOptions: () => ({ generate: 'client' }) } : {}), paintedFirst()],
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
