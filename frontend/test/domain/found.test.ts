import { describe, expect, it } from 'vitest';
import { leadOfHit, markedPieces } from '../../src/domain/preview';

describe('what was found', () => {
  it('is cut where its marks begin and end, and loses nothing', () => {
    expect(markedPieces({ text: 'my late order', marks: [[3, 7], [8, 13]] })).toEqual([
      { text: 'my ', marked: false },
      { text: 'late', marked: true },
      { text: ' ', marked: false },
      { text: 'order', marked: true },
    ]);
    expect(markedPieces({ text: 'order now', marks: [[0, 5]] })[0]).toEqual({ text: 'order', marked: true });
    expect(markedPieces({ text: 'plain', marks: [] })).toEqual([{ text: 'plain', marked: false }]);
  });

  it('counts as the window does: in UTF-16 units', () => {
    expect(markedPieces({ text: '😀 łódź', marks: [[3, 7]] })[1]).toEqual({ text: 'łódź', marked: true });
  });

  it('marks nothing where a mark makes no sense', () => {
    for (const marks of [[[4, 2]], [[0, 99]], [[-1, 2]]] as [number, number][][]) {
      expect(markedPieces({ text: 'text', marks })).toEqual([{ text: 'text', marked: false }]);
    }
  });

  it('says who wrote it', () => {
    const speakers = { me: 'm1', nameOf: (id: string) => (id === 'm2' ? 'Lena' : '') };
    expect(leadOfHit({ kind: 'message', author: { kind: 'customer', id: 'c' } }, speakers)).toBe('');
    expect(leadOfHit({ kind: 'message', author: { kind: 'member', id: 'm2' } }, speakers)).toContain('Lena');
    expect(leadOfHit({ kind: 'comment', author: { kind: 'member', id: 'm2' } }, speakers)).not.toBe(
      leadOfHit({ kind: 'message', author: { kind: 'member', id: 'm2' } }, speakers),
    );
  });
});
