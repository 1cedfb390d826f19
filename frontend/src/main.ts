import { openWindow } from './app/window';
import { bridgeToken, browserBackend } from './backend/browser';
import { insideWails, wailsBackend } from './backend/wails';

const backend = insideWails() ? wailsBackend() : browserBackend(bridgeToken(location, sessionStorage, history));
const target = document.getElementById('app');
if (!target) throw new Error('the page has no element to show the window in');
void openWindow(backend, target);
