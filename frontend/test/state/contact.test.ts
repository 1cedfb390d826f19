import { beforeEach, describe, expect, test } from 'vitest';
import type { Contact } from '../../src/domain/types';
import { ContactCard, FieldEdit } from '../../src/state/contact.svelte';
import { MemoryBackend } from '../memory-backend';

let backend: MemoryBackend;
let card: ContactCard;
let contact: Contact;

beforeEach(() => {
  backend = new MemoryBackend({ conversations: 5 });
  card = new ContactCard(backend);
  contact = { ...([...backend.world.contacts.values()][0] as Contact) };
});
const updates = (): unknown[][] => backend.calls.filter(([name]) => name === 'updateContact').map((call) => call.slice(1));

describe('a field being changed', () => {
  test('is saved to the contact it was begun for, once, whatever asks for it', async () => {
    const edit = new FieldEdit(card, contact, 'name');
    edit.text = ' Ana Ruiz ';
    expect(await Promise.all([edit.save(), edit.save()])).toEqual([true, true]);
    expect(await edit.save()).toBe(true);
    expect(updates()).toEqual([[contact.id, { name: 'Ana Ruiz' }]]);
  });

  test('is not saved when nothing was typed, whatever became of the contact meanwhile', async () => {
    const edit = new FieldEdit(card, contact, 'name');
    backend.world.contacts.set(contact.id, { ...contact, name: 'changed by a colleague' });
    expect(await edit.save()).toBe(true);
    expect(updates()).toEqual([]);
  });

  test('says why it cannot be saved, and can be saved after all', async () => {
    const edit = new FieldEdit(card, contact, 'email');
    edit.text = 'nobody';
    expect(await edit.save()).toBe(false);
    expect(edit.problem).not.toBe('');
    edit.text = 'somebody@northwind.example';
    backend.broken = { code: 'unavailable', message: 'No line.' };
    expect(await edit.save()).toBe(false);
    expect(edit.problem).toBe('No line.');
    backend.broken = null;
    expect(await edit.save()).toBe(true);
    expect([edit.problem, updates().at(-1)]).toEqual(['', [contact.id, { email: 'somebody@northwind.example' }]]);
  });
});
