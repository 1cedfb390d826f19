import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';
import window from './vite.config.ts';

/**
 * What the first picture never needs: the parts that are loaded after it, and
 * what Svelte asks of a server that draws for many at once.
 */
const absent: Plugin = {
  name: 'absent',
  enforce: 'pre',
  resolveId: (id) => (/-parts$|^node:async_hooks$/.test(id) ? '\0absent' : undefined),
  load: (id) => (id === '\0absent' ? 'export {};' : undefined),
  // The program's engine knows no modules, and with the above nothing is left to load.
  renderChunk: (code) => code.replaceAll(/\bimport\(/g, 'Promise.reject('),
};

/** The script with which the program draws the window's first picture; see src/prerender.ts. */
export default defineConfig((env) => ({
  plugins: [svelte(), absent],
  resolve: { alias: window(env).resolve?.alias },
  ssr: { noExternal: true },
  build: {
    ssr: 'src/prerender.ts',
    outDir: 'dist',
    emptyOutDir: false,
    target: 'es2022',
    // Code with shortened names loses the properties of components, and does not run.
    rolldownOptions: { output: { format: 'iife', minify: { compress: false, mangle: false, codegen: true } } },
  },
}));
