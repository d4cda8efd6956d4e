// Where the page begins: mounts the manager, or one guest's console or display if the address says so.
// Owns the choice between them.
// Never connects anything itself.

import './styles/tokens.css';
import './styles/base.css';
import './state/theme.svelte.ts';
import './strings/language.svelte.ts';
import { mount } from 'svelte';
import App from './App.svelte';
import ConsoleWindow from './console/ConsoleWindow.svelte';
import DisplayWindow from './display/DisplayWindow.svelte';

const target = document.getElementById('app');
if (!target) throw new Error('The page has no #app element.');

const [, what, of, port] = /^#\/(console|display)\/([^/]+)(\/2|\/shell)?$/.exec(window.location.hash) ?? [];
if (!of) mount(App, { target });
else if (what === 'display') mount(DisplayWindow, { target, props: { guestId: decodeURIComponent(of) } });
else
  mount(ConsoleWindow, {
    target,
    props: { guestId: decodeURIComponent(of), source: port === '/shell' ? 'shell' : port ? 2 : 1 },
  });
