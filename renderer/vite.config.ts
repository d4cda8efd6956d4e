// How the renderer is bundled: one page of static files that Electron and the web server both serve.
// Owns the output folder dist/renderer.
// Never lets anything of main or the core into the page except the contract's types and schemas.

import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  plugins: [svelte({ configFile: false })],
  build: {
    outDir: '../dist/renderer',
    emptyOutDir: true,
    target: 'chrome124',
    // The page's security policy allows no inlined data as fonts or scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
  },
});
