import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { pathOf, type IconNode } from '../../src/ui/icon-path';

describe('pathOf', () => {
  it.each<[string, IconNode, string]>([
    ['path', ['path', { d: 'M20 6 9 17l-5-5' }], 'M20 6 9 17l-5-5'],
    ['circle', ['circle', { cx: '12', cy: '11', r: '10' }], 'M2 11a10 10 0 1 0 20 0a10 10 0 1 0 -20 0'],
    ['ellipse', ['ellipse', { cx: 12, cy: 5, rx: 9, ry: 3 }], 'M3 5a9 3 0 1 0 18 0a9 3 0 1 0 -18 0'],
    ['line', ['line', { x1: '12', x2: '12.01', y1: '16', y2: '17' }], 'M12 16L12.01 17'],
    ['polyline', ['polyline', { points: '6 9 12 15 18 9' }], 'M6 9 12 15 18 9'],
    ['polygon', ['polygon', { points: '3 3 9 3 6 9' }], 'M3 3 9 3 6 9z'],
    ['rect', ['rect', { x: 3, y: 4, width: 5, height: 6 }], 'M3 4h5v6h-5z'],
    [
      'rounded rect',
      ['rect', { x: '2', y: '4', width: '20', height: '16', rx: '2' }],
      'M4 4h16a2 2 0 0 1 2 2v12a2 2 0 0 1 -2 2h-16a2 2 0 0 1 -2 -2v-12a2 2 0 0 1 2 -2z',
    ],
  ])('draws a %s', (_, node, path) => {
    expect(pathOf([node])).toBe(path);
  });

  it('joins the strokes, and refuses what it cannot draw', () => {
    expect(pathOf([['line', { x2: 1 }], ['path', { d: 'M5 5h1' }]])).toBe('M0 0L1 0M5 5h1');
    expect(() => pathOf([['text', {}]])).toThrow('<text>');
  });

  it('begins each stroke where its icon says, not where the one before has ended', () => {
    const cross: IconNode[] = [['path', { d: 'M18 6 6 18' }], ['path', { d: 'm6 6 12 12' }]];
    expect(pathOf(cross)).toBe('M18 6 6 18M0 0m6 6 12 12');
  });

  it('knows every element of every icon there is', () => {
    const folder = new URL('../../node_modules/@lucide/svelte/dist/icons/', import.meta.url);
    const icons = readdirSync(folder).filter((name) => name.endsWith('.svelte'));
    expect(icons.length).toBeGreaterThan(1000);
    for (const name of icons) {
      const source = readFileSync(new URL(name, folder), 'utf8');
      const data = /iconData = (\{.*\});/u.exec(source)?.[1];
      if (!data) throw new Error(`${name} is not as expected`);
      const { node } = JSON.parse(data) as { node: IconNode[] };
      expect(pathOf(node), name).toMatch(/^[Mm][-\d. ,a-zA-Z]+$/u);
    }
  });
});
