/**
 * The address of a server as typed by a person: "parley.example.com" means
 * https, a name of this computer means http. Null when it is no address.
 */
export function serverAddress(typed: string): string | null {
  const text = typed.trim().replace(/\/+$/, '');
  if (text === '' || /\s/.test(text)) return null;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text) && !/^https?:/i.test(text)) return null;
  const local = /^(localhost|127\.0\.0\.1|\[::1\])(:|$)/i.test(text);
  const address = /^https?:\/\//i.test(text) ? text : `${local ? 'http' : 'https'}://${text}`;
  if (!URL.canParse(address)) return null;
  const url = new URL(address);
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') return null;
  return (url.origin + url.pathname).replace(/\/+$/, '');
}
