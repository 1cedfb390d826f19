/** One element of an icon as lucide keeps it. */
export type IconNode = readonly [tag: string, attributes: Readonly<Record<string, string | number>>];

const paths = new WeakMap<readonly IconNode[], string>();

/** All strokes of an icon as one path. */
export function pathOf(nodes: readonly IconNode[]): string {
  let path = paths.get(nodes);
  if (path === undefined) paths.set(nodes, (path = nodes.map(([tag, attributes]) => stroke(tag, attributes)).join('')));
  return path;
}

function stroke(tag: string, attributes: Readonly<Record<string, string | number>>): string {
  const n = (name: string): number => Number(attributes[name] ?? 0);
  switch (tag) {
    case 'path': {
      const d = String(attributes.d ?? '');
      // A relative move counts from the origin, not from where the stroke before has ended.
      return d.startsWith('m') ? `M0 0${d}` : d;
    }
    case 'circle':
      return round(n('cx'), n('cy'), n('r'), n('r'));
    case 'ellipse':
      return round(n('cx'), n('cy'), n('rx'), n('ry'));
    case 'line':
      return `M${n('x1')} ${n('y1')}L${n('x2')} ${n('y2')}`;
    case 'polyline':
      return `M${attributes.points}`;
    case 'polygon':
      return `M${attributes.points}z`;
    case 'rect': {
      const [x, y, w, h] = [n('x'), n('y'), n('width'), n('height')];
      const rx = n(attributes.rx === undefined ? 'ry' : 'rx');
      const ry = n(attributes.ry === undefined ? 'rx' : 'ry');
      if (rx === 0 || ry === 0) return `M${x} ${y}h${w}v${h}h${-w}z`;
      const corner = (dx: number, dy: number): string => `a${rx} ${ry} 0 0 1 ${dx} ${dy}`;
      return (
        `M${x + rx} ${y}h${w - 2 * rx}${corner(rx, ry)}v${h - 2 * ry}${corner(-rx, ry)}` +
        `h${2 * rx - w}${corner(-rx, -ry)}v${2 * ry - h}${corner(rx, -ry)}z`
      );
    }
    default:
      throw new Error(`an icon has a <${tag}>, which cannot be drawn`);
  }
}

function round(cx: number, cy: number, rx: number, ry: number): string {
  return `M${cx - rx} ${cy}a${rx} ${ry} 0 1 0 ${2 * rx} 0a${rx} ${ry} 0 1 0 ${-2 * rx} 0`;
}
