/** Threads that hold every kind of message, for looking at the window and for tests. */
import type { Conversation, Message, Part } from '../src/domain/types';
import type { MemoryBackend } from './memory-backend';
import { iso } from './memory-data';

type Said = Partial<Message> & Pick<Message, 'kind' | 'author'>;

/** A waveform like a sentence: 64 peaks, base64. */
export function peaks(seed = 1): string {
  const bytes = Array.from({ length: 64 }, (_, i) => Math.round(40 + Math.abs(Math.sin(i * 1.7 * seed) * Math.cos(i * 0.6)) * 215));
  return btoa(String.fromCharCode(...bytes));
}

/** Gives a conversation these messages, from oldest to newest, the last one now. */
export function fill(backend: MemoryBackend, id: string, said: readonly Said[], stepMs = 4 * 60_000): Message[] {
  const conversation = backend.world.conversations.get(id);
  if (!conversation) throw new Error(`no conversation ${id}`);
  let incoming = 0;
  const messages = said.map((message, i): Message => {
    if (message.kind === 'message' && message.author.kind === 'customer') incoming++;
    const at = iso(Date.now() - (said.length - i) * stepMs);
    return {
      id: `${id}-m${i + 1}`,
      ver: i + 1,
      conversation: id,
      number: i + 1,
      in_number: incoming,
      parts: [],
      sent_at: at,
      stored_at: at,
      ...message,
    };
  });
  backend.world.messages.set(id, messages);
  Object.assign(conversation, {
    last_number: messages.length,
    in_number: incoming,
    read_number: messages.length,
    read_in: incoming,
    unread: 0,
  } satisfies Partial<Conversation>);
  return messages;
}

const text = (words: string): Part[] => [{ kind: 'text', text: words }];

/** One of each: what a thread can hold, in the order of a real day. */
export function everyKind(backend: MemoryBackend, conversation: Conversation): Said[] {
  const me = backend.world.state.me?.id ?? '';
  const colleague = backend.world.state.members.find((m) => m.id !== me)?.id ?? '';
  const customer = { kind: 'customer', id: conversation.contact } as const;
  const agent = { kind: 'member', id: me } as const;
  const other = { kind: 'member', id: colleague } as const;
  const bean = { kind: 'assistant', id: 'bean' } as const;
  const name = backend.world.state.members.find((m) => m.id === me)?.name ?? '';
  const yesterday = iso(Date.now() - 26 * 3_600_000);
  return [
    { kind: 'message', author: customer, parts: text('Good evening!'), sent_at: yesterday, stored_at: yesterday },
    { kind: 'message', author: { kind: 'flow', id: 'f' }, parts: text('Thanks for writing. We answer from nine.'), delivery: { state: 'delivered' }, sent_at: yesterday, stored_at: yesterday },
    { kind: 'message', author: customer, parts: text('Hola, pedí dos bolsas de Sidamo y llegó solo una 😕') },
    { kind: 'message', author: bean, parts: text("I'm sorry about that, Lucía. Order #10482 left in two parcels; the second is with the carrier. May I ask a colleague to look into it?"), delivery: { state: 'read' } },
    { kind: 'event', author: bean, event: { name: 'escalated', reason: 'missing parcel' } },
    { kind: 'event', author: agent, event: { name: 'accepted', member: me } },
    { kind: 'event', author: other, event: { name: 'assigned', member: me } },
    { kind: 'comment', author: other, parts: text(`@${name} carrier says it was returned to the depot, we can resend today. https://track.example.com/p/10482`), mentions: [me] },
    { kind: 'message', author: customer, parts: [{ kind: 'voice', sha256: 'a'.repeat(64), name: 'voice.ogg', type: 'audio/ogg', duration_ms: 14_000, peaks: peaks(), transcript: "I'll be home until six, could it come today?" }] },
    { kind: 'message', author: customer, parts: [{ kind: 'image', sha256: 'b'.repeat(64), name: 'parcel.png', type: 'image/png', width: 800, height: 500 }] },
    { kind: 'message', author: customer, parts: [{ kind: 'file', sha256: 'c'.repeat(64), name: 'invoice-10482-Fernández-Lucía-final.pdf', type: 'application/pdf', size: 482_113 }] },
    { kind: 'message', author: customer, parts: [{ kind: 'location', latitude: 40.4168, longitude: -3.7038, title: 'Puerta del Sol, Madrid' }] },
    { kind: 'message', author: customer, parts: [{ kind: 'link', url: 'https://shop.example.com/sidamo', title: 'Sidamo, whole bean, 500 g' }] },
    { kind: 'message', author: customer, parts: [{ kind: 'video', sha256: 'd'.repeat(64), name: 'unboxing.mp4', type: 'video/mp4', width: 640, height: 360, duration_ms: 31_000 }] },
    { kind: 'message', author: customer, parts: [], deleted_at: iso(Date.now()) },
    { kind: 'message', author: customer, parts: text('Mi dirección es Calle Mayor 12, segundo'), edited_at: iso(Date.now()) },
    { kind: 'message', author: customer, parts: text('مرحبا، أين طلبي؟ رقم الطلب 10482') },
    { kind: 'message', author: customer, parts: text(`Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘ ${'Donaudampfschifffahrtsgesellschaftskapitän'.repeat(4)} <b>not bold</b>`) },
    { kind: 'message', author: other, parts: text('We are looking for it.'), delivery: { state: 'failed', error: 'The number is not on WhatsApp.' } },
    { kind: 'message', author: agent, parts: text('It goes out again at 11:00 and arrives before six. Here is a little something for the wait:'), delivery: { state: 'delivered' }, reply_to: `${conversation.id}-m9` },
    { kind: 'message', author: agent, parts: [{ kind: 'paid', title: 'Brewing class, full video', price: 400, currency: 'USD', state: 'locked' }], delivery: { state: 'read' } },
    { kind: 'message', author: agent, parts: text('Anything else?'), delivery: { state: 'sent' } },
    { kind: 'message', author: agent, parts: text('You will hear from us.'), delivery: { state: 'queued' } },
  ];
}

/** A long thread of short messages on both sides. */
export function longThread(conversation: Conversation, n: number): Said[] {
  return Array.from({ length: n }, (_, i) => ({
    kind: 'message' as const,
    author: i % 3 === 0 ? ({ kind: 'member', id: 'colleague' } as const) : ({ kind: 'customer', id: conversation.contact } as const),
    parts: text(`Message ${i + 1}. ${'Some words that fill a line or two. '.repeat((i * 7) % 5)}`),
  }));
}
