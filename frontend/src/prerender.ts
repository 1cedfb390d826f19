/**
 * Runs in the program, which has no page: draws the window's first picture as
 * markup, from the same opening that the window starts from. The window takes
 * the markup over as its own (see openWindow).
 */
import cyrillicExt from '@fontsource-variable/inter/files/inter-cyrillic-ext-wght-normal.woff2?url';
import cyrillic from '@fontsource-variable/inter/files/inter-cyrillic-wght-normal.woff2?url';
import greek from '@fontsource-variable/inter/files/inter-greek-wght-normal.woff2?url';
import latinExt from '@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2?url';
import vietnamese from '@fontsource-variable/inter/files/inter-vietnamese-wght-normal.woff2?url';
import { render } from 'svelte/server';
import AppView from './app/App.svelte';
import { begin, contextOver } from './app/begin';
import type { Backend } from './backend/backend';
import type { Opening } from './domain/types';

/** What asks for a font besides that of Latin letters, which the page always brings. */
const fonts: [RegExp, string][] = [
  [/[\u0100-\u0180\u01a2-\u01ae\u01b2-\u02ba\u1e00-\u1e9f\u2020\u20a0-\u20c0\u2113\u2c60-\u2c7f\ua720-\ua7ff]/, latinExt],
  [/[\u0102\u0103\u0110\u0111\u0128\u0129\u0168\u0169\u01a0\u01a1\u01af\u01b0\u1ea0-\u1ef9\u20ab]/, vietnamese],
  [/[\u0301\u0400-\u045f\u0490\u0491\u04b0\u04b1\u2116]/, cyrillic],
  [/[\u0460-\u048f\u0492-\u04af\u04b2-\u052f]/, cyrillicExt],
  [/[\u0370-\u03ff]/, greek],
];

const never = new Promise<never>(() => undefined);

/** Knows the opening and nothing else: what is asked beyond it is not answered, and there is no picture. */
function backendOf(opening: Opening): Backend {
  return new Proxy({} as Backend, {
    get: (_, name) => {
      if (name === 'opening') return () => Promise.resolve(opening);
      return name === 'on' ? () => () => undefined : () => never;
    },
  });
}

interface Picture {
  body: string;
  /** Paths of the fonts it is written in, besides the one that every page brings. */
  fonts: string[];
}

async function draw(opening: string): Promise<Picture> {
  const context = contextOver(backendOf(JSON.parse(opening) as Opening));
  await begin(context);
  const { body } = render(AppView, { props: { context } });
  return { body, fonts: fonts.filter(([letters]) => letters.test(body)).map(([, url]) => url) };
}

let drawn: Picture | null = null;
let failure: unknown;

/** What the program calls: first the one, then, when nothing is left to do, the other. */
Object.assign(globalThis, {
  prerender(opening: string, page: { innerWidth: number; innerHeight: number; navigator: { platform: string } }): void {
    Object.assign(globalThis, page);
    draw(opening).then(
      (picture) => (drawn = picture),
      (cause) => (failure = cause),
    );
  },
  prerendered(): string {
    if (failure) throw failure;
    return JSON.stringify(drawn);
  },
});
