// The renderer's one door to the contract: schemas, types and the typed client.
// Owns how the schemas run here: without generated code, which the page's security policy forbids.
// Never re-exports anything else of main.

import { config } from 'zod';

export * from '../../main/contract.ts';

config({ jitless: true });
