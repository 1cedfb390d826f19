import { describe, expect, it } from 'vitest';
import { linkify } from '../../src/domain/linkify';

const links = (text: string): string[] => linkify(text).flatMap((s) => (s.kind === 'link' ? [s.href] : []));

describe('linkify', () => {
  it('loses nothing: the segments put together are the text', () => {
    for (const text of [
      '',
      'plain',
      'see https://a.example/x, then www.b.example! Write to jo@c.example.',
      '<script>https://a.example</script>',
      'ends with https://a.example/',
      '🦜 https://a.example/ü?q=1#x 🦜\nnext line',
    ]) {
      expect(linkify(text).map((s) => s.text).join('')).toBe(text);
    }
  });

  it('leaves the punctuation of the sentence outside', () => {
    expect(links('Look at https://a.example/x.')).toEqual(['https://a.example/x']);
    expect(links('(see https://a.example/x)')).toEqual(['https://a.example/x']);
    expect(links('https://en.example/wiki/Bean_(coffee)')).toEqual(['https://en.example/wiki/Bean_(coffee)']);
    expect(links('“https://a.example”')).toEqual(['https://a.example/']);
  });

  it('knows www. and e-mail addresses', () => {
    expect(links('www.a.example/x and jo.reed+x@a.example')).toEqual(['https://www.a.example/x', 'mailto:jo.reed+x@a.example']);
  });

  it('makes no link of other schemes or of addresses that deceive', () => {
    expect(links('javascript:alert(1) data:text/html,x file:///etc/passwd')).toEqual([]);
    expect(links('https://bank.example@evil.example/')).not.toContain('https://bank.example@evil.example/');
    expect(links('https://')).toEqual([]);
  });

  it('allows an address of this computer, as a share link has', () => {
    expect(links('http://localhost:8787/c/shop')).toEqual(['http://localhost:8787/c/shop']);
  });

  it('is quick on long hostile text', () => {
    const started = performance.now();
    linkify('a@'.repeat(20_000) + 'www.'.repeat(20_000) + '('.repeat(20_000));
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('costs no more than the length of hostile text', () => {
    const hostile = ['a.'.repeat(30_000), `https://x.y/${')'.repeat(60_000)}`, `${'a'.repeat(60_000)}@`, 'a@'.repeat(30_000)];
    for (const text of hostile) {
      expect(linkify(text).map((s) => s.text).join('')).toBe(text);
    }
  });
});
