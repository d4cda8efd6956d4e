// When the code of this process's guests is translated where nobody says it of one: TRIVISOR_TRANSLATION.
// Owns the reading of that variable, for all ways of starting a guest and for the tests that wait for one.
// Never starts or knows a guest.

import { type TranslationTime, translationTimes } from '../../native-free-core/hypervisor/guest.ts';
import { Failure } from '../contract.ts';

/**
 * For tests and measurements, which must find the same guest whoever executes it: `eager` translates code before it is
 * first executed, `off` never. Hot code where the variable is unset or empty; anything else is a {@link Failure}.
 */
export function usualTranslation(environment: NodeJS.ProcessEnv = process.env): TranslationTime {
  const wanted = environment.TRIVISOR_TRANSLATION || 'hot';
  const known = translationTimes.find((time) => time === wanted);
  if (known !== undefined) return known;
  throw new Failure('wrong', `TRIVISOR_TRANSLATION is ${translationTimes.join(', ')}, not ${JSON.stringify(wanted)}.`);
}
