/**
 * The window with a thread that holds every kind of message. The address says
 * what to show: ?theme=dark, ?open=2 for the long thread, ?few=1 for a short one,
 * ?pending=1 for texts on their way and refused, ?status=offline, ?warning=1.
 */
import { openWindow } from '../src/app/window';
import type { ConnectionStatus } from '../src/domain/types';
import { MemoryBackend } from './memory-backend';
import { everyKind, fill, longThread } from './memory-backend.thread';
import { iso } from './memory-data';

const ask = new URLSearchParams(location.search);
const backend = new MemoryBackend({ conversations: Number(ask.get('n') ?? 200) });
const [first = '', second = '', third = ''] = [...backend.world.conversations.keys()];
const one = backend.world.conversations.get(first);
const two = backend.world.conversations.get(second);
const me = backend.world.state.me?.id ?? '';
if (one && two) {
  fill(backend, first, everyKind(backend, one));
  Object.assign(one, { status: 'open', state: 'agent', holder: { kind: 'member', id: me, firm: true }, assignee: me, csat: 4, tags: ['Wholesale', 'EU'] });
  one.origin = { page: 'https://northwind.example/shop/sidamo?ref=spring', referrer: 'https://www.instagram.com/', utm: { utm_source: 'instagram', utm_campaign: 'spring' } };
  fill(backend, second, longThread(two, Number(ask.get('long') ?? 20_000)), 61_000);
  if (ask.has('few')) fill(backend, first, everyKind(backend, one).slice(0, Number(ask.get('few')) + 1));
  if (ask.has('unread')) Object.assign(two, { read_number: two.last_number - 4, read_in: two.in_number - 3, unread: 3 });
  const entry = { id: 'c1', message: 'x1', conversation: first, kind: 'message.send', comment: false, created_at: iso(Date.now()), attempts: 1 };
  if (ask.has('pending')) {
    backend.pending.set(first, [
      { ...entry, text: 'Waiting for the line to come back.', state: 'queued', problem: null },
      {
        ...entry, id: 'c2', message: 'x2', text: 'I can offer you a refund of $12.', state: 'refused',
        problem: { code: 'newer_messages', messages: backend.world.messages.get(first)?.slice(-2) ?? [] },
      },
    ]);
  }
}

if (ask.has('pending')) {
  const orphan = { id: 'draft:gone', message: '', conversation: 'gone', kind: 'draft', comment: false, created_at: iso(Date.now()), attempts: 0 };
  backend.orphans = [{ ...orphan, text: 'Half a sentence of', state: 'refused', problem: null, label: 'مريم الفاسي', reachable: false, unconfirmed: false }];
}
const contact = backend.world.contacts.get(backend.world.conversations.get(third)?.contact ?? '');
if (contact) contact.name = 'مريم بنت عبد الرحمن الفاسي الطويلة الاسم جدا حتى لا يتسع لها السطر';
Object.assign(backend.world.conversations.get(third) ?? {}, {
  preview: 'مرحبا، أين طلبي؟ رقم الطلب 10482 وقد انتظرت طويلا جدا ولم يصل بعد', preview_kind: 'text', preview_author: { kind: 'member', id: me },
});

/** A picture and a sound made here: nothing is fetched. */
const files = new Map<string, string>();
const canvas = Object.assign(document.createElement('canvas'), { width: 800, height: 500 });
const pen = canvas.getContext('2d');
if (pen) {
  const sky = pen.createLinearGradient(0, 0, 800, 500);
  sky.addColorStop(0, '#c98f5a');
  sky.addColorStop(1, '#5b3a24');
  pen.fillStyle = sky;
  pen.fillRect(0, 0, 800, 500);
  pen.fillStyle = '#e9d2b5';
  pen.fillRect(230, 150, 340, 230);
}
files.set('b'.repeat(64), canvas.toDataURL());
backend.fileUrl = (sha256, name) => files.get(sha256) ?? `/missing/${sha256}?name=${encodeURIComponent(name)}`;

backend.settings.set('theme', ask.get('theme') ?? 'light');
const status = ask.get('status') as ConnectionStatus | null;
if (status) backend.world.state.connection = { ...backend.world.state.connection, status, since: iso(Date.now() - 400_000) };

if (ask.has('warning')) backend.world.state.warnings = [{ code: 'keychain_missing', message: 'The sign-in is kept in a file.' }];

const context = await openWindow(backend, document.getElementById('app') as HTMLElement);
context.app.select([first, second, third][Number(ask.get('open') ?? 1) - 1] ?? first);
Object.assign(globalThis, { backend, context });
