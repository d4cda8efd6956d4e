// Makes `import … from 'electron'` find the stand-in, in this process.
// Owns the resolve hook.
// Never touches any other module.

import { registerHooks } from 'node:module';

const standIn = new URL('./electron.ts', import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) => next(specifier === 'electron' ? standIn : specifier, context),
});
