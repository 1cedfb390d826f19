import { svelte } from '@sveltejs/vite-plugin-svelte';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Where the bridge of a running Parley listens, for `npm run dev` against real data. */
const bridge = process.env.PARLEY_BRIDGE ?? 'http://127.0.0.1:7788';

/**
 * The window's script is asked for by start.ts once something is painted; its
 * styles are what is painted with, so they come with the page. A webview that
 * knows "blocking" paints nothing before start.ts has run, which knows the theme.
 */
const paintedFirst: Plugin = {
  name: 'painted-first',
  transformIndexHtml: {
    order: 'post',
    handler(html, { bundle = {} }) {
      const styles = new Set<string>();
      const seen = new Set<string>();
      const collect = (file: string): void => {
        const chunk = bundle[file];
        if (seen.has(file) || chunk?.type !== 'chunk') return;
        seen.add(file);
        chunk.imports.forEach(collect); // what it builds on comes before it
        for (const style of chunk.viteMetadata?.importedCss ?? []) styles.add(style);
      };
      for (const chunk of Object.values(bundle)) {
        if (chunk.type === 'chunk' && chunk.facadeModuleId?.endsWith('/src/main.ts')) collect(chunk.fileName);
      }
      return {
        html: html.replace('<script type="module"', '<script type="module" blocking="render"'),
        tags: [...styles].map((file) => ({
          tag: 'link',
          attrs: { rel: 'stylesheet', crossorigin: true, href: `/${file}` },
          injectTo: 'head',
        })),
      };
    },
  },
};

export default defineConfig(({ mode }) => ({
  // State classes are tested as they run in the window, not as on a server.
  plugins: [svelte(mode === 'test' ? { dynamicCompileOptions: () => ({ generate: 'client' }) } : {}), paintedFirst],
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
