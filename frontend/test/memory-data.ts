/** A believable inbox for tests and for looking at the window without the program behind it. */
import type {
  AppState,
  Brand,
  Channel,
  ChannelKind,
  Contact,
  Conversation,
  Member,
  Message,
  MessageKind,
  Actor,
  Part,
} from '../src/domain/types';

export interface World {
  state: AppState;
  contacts: Map<string, Contact>;
  conversations: Map<string, Conversation>;
  messages: Map<string, Message[]>;
}

/** mulberry32: the same seed gives the same inbox. */
export function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

const people: [string, ChannelKind, string, string][] = [
  ['Lucía Fernández', 'whatsapp', 'Madrid', 'Spanish'],
  ['Kofi Mensah', 'email', 'Accra', 'English'],
  ['', 'web', '', 'Norwegian'],
  ['Amélie Durand', 'instagram', 'Lyon', 'French'],
  ['Chen Wei', 'telegram', 'Singapore', 'Chinese'],
  ['Sofia Rossi', 'messenger', 'Torino', 'Italian'],
  ['Noor Haddad', 'shopify', 'Amman', 'Arabic'],
  ['Ben Okafor', 'whatsapp', 'London', 'English'],
  ['Ingrid Larsen', 'email', 'Bergen', 'Norwegian'],
  ['Mateo Silva', 'instagram', 'Porto', 'Portuguese'],
  ['Yuki Tanaka', 'telegram', 'Osaka', 'Japanese'],
  ['', 'web', '', 'English'],
  ['Hannah Weiß', 'facebook', 'Köln', 'German'],
  ['Oluwaseun Adebayo-Christopherson', 'whatsapp', 'Lagos', 'English'],
];
const said = [
  'Hola, pedí dos bolsas de Sidamo y llegó solo una 😕',
  'Re: Refund for order 10391, thank you for looking into it so quickly',
  'do you ship to Norway?',
  'Bonjour, avez-vous encore le moulin à café en noir ?',
  'My parcel says delivered, but nothing is here. Could you check https://track.example.com/p/10482 please?',
  'Perfect, see you then!',
  'Is the grinder back in stock?',
  'Could I change the delivery address for tomorrow?',
  'ありがとうございます！',
  'Out of office until Monday',
];
const answers = [
  'Thank you for writing! I am looking into it now.',
  'Order #10482 left in two parcels; the second is with the carrier and arrives before six.',
  'It goes out again at 11:00. Here is a little something for the wait.',
  'Yes, we do: two to four working days.',
];

const uuid = (space: string, n: number): string =>
  `0190${space}-0000-7000-8000-${n.toString(16).padStart(8, '0')}${((n * 40503) & 0xffff).toString(16).padStart(4, '0')}`;

/** Builds an inbox of n conversations whose newest is `now`. */
export function world(n: number, now: number, seed = 7): World {
  const roll = random(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(roll() * from.length)] as T;
  const brands: Brand[] = [
    { id: uuid('b001', 1), ver: 1, name: 'Northwind Coffee', color: '#0f766e', position: 0 },
    { id: uuid('b001', 2), ver: 1, name: 'Atelier Anis', color: '#b4507c', position: 1 },
    { id: uuid('b001', 3), ver: 1, name: 'Kestrel Bikes', color: '#5a6ea8', position: 2 },
  ];
  const names = ['Jo Reed', 'Tomás Rey', 'Ana Petrova', 'Priya Nair'];
  const members: Member[] = names.map((name, i) => ({
    id: uuid('aa01', i + 1),
    ver: 1,
    name,
    email: `${name.split(' ')[0]?.toLowerCase()}@northwind.example`,
    role: i === 0 ? 'owner' : 'agent',
    brands: [],
    settings: {},
  }));
  const kinds: ChannelKind[] = ['web', 'whatsapp', 'email', 'instagram', 'telegram', 'messenger', 'shopify', 'facebook'];
  const channels: Channel[] = brands.flatMap((brand, b) =>
    kinds.map((kind, k) => ({
      id: uuid('c001', b * 20 + k + 1),
      ver: 1,
      brand: brand.id,
      kind,
      name: kind === 'web' ? `${brand.name} website` : `${brand.name} ${kind}`,
      key: `key${b}${k}`,
      slug: brand.name.toLowerCase().replace(/\W+/g, '-'),
      settings: {},
    })),
  );

  const contacts = new Map<string, Contact>();
  const conversations = new Map<string, Conversation>();
  const messages = new Map<string, Message[]>();
  let at = now - 60_000;
  for (let i = 0; i < n; i++) {
    const [name, kind, city, speaks] = people[i % people.length] as (typeof people)[number];
    const brand = (i < 8 ? brands[0] : pick(brands)) as Brand;
    const channel = channels.find((c) => c.brand === brand.id && c.kind === kind) as Channel;
    const suffix = i >= people.length && name ? ` ${String.fromCharCode(65 + (i % 26))}.` : '';
    const contact: Contact = {
      id: uuid('d001', i + 1),
      ver: 1,
      brand: brand.id,
      name: name ? name + suffix : '',
      email: name && i % 3 !== 2 ? `${name.split(' ')[0]?.toLowerCase()}${i}@example.com` : '',
      phone: i % 2 === 0 && name ? `+34 600 000 ${String(100 + (i % 900))}` : '',
      city,
      language: speaks,
      device: pick(['iPhone', 'Windows', 'Pixel 9']),
      browser: pick(['Safari 19', 'Chrome 140', 'Firefox 143']),
      identities: [{ id: uuid('e001', i + 1), channel: channel.id, address: `addr${i}` }],
      created_at: iso(at - 86_400_000 * 30),
    };
    contacts.set(contact.id, contact);
    const id = uuid('f001', i + 1);
    const customer: Actor = { kind: 'customer', id: contact.id };
    const me: Actor = { kind: 'member', id: members[0]?.id ?? '' };
    const other: Actor = { kind: 'member', id: pick(members.slice(1)).id };
    const thread: Message[] = [];
    const say = (kindOf: MessageKind, author: Actor, parts: Part[], when: number, event?: Message['event']): void => {
      const number = thread.length + 1;
      const incoming = kindOf === 'message' && author.kind === 'customer' ? 1 : 0;
      thread.push({
        id: uuid(`1${String(number % 1000).padStart(3, '0')}`, i + 1),
        ver: number,
        conversation: id,
        number,
        in_number: (thread.at(-1)?.in_number ?? 0) + incoming,
        kind: kindOf,
        author,
        parts,
        event: event ?? null,
        sent_at: iso(when),
        stored_at: iso(when),
        delivery: kindOf === 'message' && author.kind !== 'customer' ? { state: pick(['sent', 'delivered', 'read']) } : null,
      });
    };
    const text = (words: string): Part[] => [{ kind: 'text', text: words }];
    const rounds = i === 0 ? 40 : 1 + Math.floor(roll() * 4);
    let when = at - rounds * 600_000;
    for (let r = 0; r < rounds; r++, when += 540_000) {
      say('message', customer, text(said[(i + r) % said.length] ?? ''), when);
      if (r === rounds - 1) break;
      if (r % 3 === 1) say('event', { kind: 'system' }, [], when + 20_000, { name: 'accepted', member: members[0]?.id ?? '' });
      say('message', r % 2 ? me : { kind: 'assistant', id: 'bean' }, text(pick(answers)), when + 60_000);
      if (i % 5 === 0 && r === 1) say('comment', other, text('Carrier says it was returned to the depot, we can resend today.'), when + 90_000);
    }
    if (i % 7 === 3) say('message', customer, [{ kind: 'voice', duration_ms: 8000, sha256: '0'.repeat(64), type: 'audio/ogg' }], at - 5000);
    if (i % 4 === 0) say('message', i % 8 === 0 ? me : other, text(pick(answers)), at);
    const last = thread.filter((m) => m.kind !== 'event').at(-1) as Message;
    const unread = last.author.kind === 'customer' && i < 24 && i % 6 !== 4 ? 1 + Math.floor(roll() * 2) : 0;
    const resolved = i > 10 && i % 3 === 0;
    const state = resolved ? 'assistant' : (['agent', 'escalated', 'assistant', 'assistant', 'agent', 'agent', 'paused', 'agent'] as const)[i % 8] ?? 'agent';
    const inNumber = last.in_number;
    conversations.set(id, {
      id,
      ver: 1,
      brand: brand.id,
      channel: channel.id,
      contact: contact.id,
      state,
      holder: state === 'agent' && !resolved ? { kind: 'member', id: members[i % 4]?.id ?? '', firm: i === 0 } : null,
      assignee: state === 'agent' && i % 4 !== 3 ? (members[i % 4]?.id ?? null) : null,
      status: resolved ? 'resolved' : 'open',
      last_number: thread.length,
      in_number: inNumber,
      read_number: unread ? Math.max(0, thread.length - unread) : thread.length,
      read_in: inNumber - Math.min(unread, inNumber),
      unread: Math.min(unread, inNumber),
      last_customer_number: 1,
      last_reply_number: 0,
      last_message_at: iso(at),
      last_customer_at: iso(at),
      preview: last.parts?.[0]?.text?.slice(0, 120) ?? '',
      preview_kind: last.kind === 'comment' ? 'comment' : (last.parts?.[0]?.kind ?? 'text'),
      preview_author: last.author,
      seen_by_customer: thread.length,
      turns: rounds,
      tags: i % 4 === 0 ? ['Wholesale'] : [],
      csat: resolved && i % 2 ? 4 + (i % 3 ? 1 : 0) : 0,
      created_at: iso(at - 86_400_000),
    });
    messages.set(id, thread);
    at -= i < 8 ? 7 * 60_000 : Math.floor(roll() * 5_400_000);
  }

  const nothing = { queued: 0, refused: 0, failed: 0, unconfirmed: 0 };
  const state: AppState = {
    accounts: [
      { id: 'a1', server: 'embedded', email: members[0]?.email ?? '', workspace: 'Northwind', kind: 'embedded', active: true, signed_out: false, outbox: nothing },
      { id: 'a2', server: 'parley.example.com', email: 'jo@example.com', workspace: 'Example Group', kind: 'remote', active: false, signed_out: false, outbox: nothing },
    ],
    account: 'a1',
    me: members[0] ?? null,
    workspace: { id: uuid('9001', 1), ver: 1, name: 'Northwind', settings: { send_interval_seconds: 3, max_file_bytes: 10 << 20 } },
    brands,
    channels,
    members,
    connection: { status: 'live', since: iso(now - 3_600_000), checked_at: iso(now), proven: false, position: 100, head: 100, progress: null, problem: null },
    warnings: [],
    share_links: brands.map((brand, b) => ({
      channel: channels[b * kinds.length]?.id ?? '',
      name: `${brand.name} website`,
      brand: brand.id,
      url: `http://127.0.0.1:8787/c/${brand.name.toLowerCase().replace(/\W+/g, '-')}`,
    })),
    loaded: true,
    cached: { conversations: n, readable: n },
    outbox: nothing,
    version: '0.1.0',
  };
  return { state, contacts, conversations, messages };
}

export function iso(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
