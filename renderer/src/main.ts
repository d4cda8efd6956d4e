// Where the page begins: mounts the manager, or one guest's console if the address says so.
// Owns the choice between the two.
// Never connects anything itself.

import './styles/tokens.css';
import './styles/base.css';
import './state/theme.svelte.ts';
import { mount } from 'svelte';
import App from './App.svelte';
import ConsoleWindow from './console/ConsoleWindow.svelte';

const target = document.getElementById('app');
if (!target) throw new Error('The page has no #app element.');

const consoleOf = /^#\/console\/([^/]+)$/.exec(window.location.hash)?.[1];
if (consoleOf) mount(ConsoleWindow, { target, props: { guestId: decodeURIComponent(consoleOf) } });
else mount(App, { target });
