import { describe, expect, it } from 'vitest';
import { avatarColor, contactLabel, initials, inkOn } from '../../src/domain/people';
import { serverAddress } from '../../src/domain/server';

describe('initials', () => {
  it.each([
    ['Lucía Fernández', 'LF'],
    ['Oluwaseun Adebayo-Christopherson', 'OC'],
    ['kofi@example.com', 'K'],
    ['jo.reed@example.com', 'JR'],
    ['Visitor 7f3a', 'V'],
    ['田中 ゆき', '田'],
    ['+34 600 000 123', '31'],
    ['🦜', '#'],
    ['', '#'],
    ['  Ben  ', 'B'],
  ])('%s → %s', (label, want) => expect(initials(label)).toBe(want));
});

it('contactLabel falls back to e-mail, phone, then the id', () => {
  const contact = { id: '0190d001-0000-7000-8000-00000000abcd', name: '', email: '', phone: '' };
  expect(contactLabel({ ...contact, name: 'Lucía', email: 'l@x.example' })).toBe('Lucía');
  expect(contactLabel({ ...contact, email: 'l@x.example', phone: '+34' })).toBe('l@x.example');
  expect(contactLabel({ ...contact, phone: '+34' })).toBe('+34');
  expect(contactLabel(contact)).toBe('Visitor abcd');
});

describe('colours', () => {
  it('avatarColor is stable and readable under white', () => {
    for (let i = 0; i < 200; i++) {
      const color = avatarColor(`contact-${i}`);
      expect(avatarColor(`contact-${i}`)).toBe(color);
      expect(inkOn(color)).toBe('#ffffff');
    }
  });

  it('inkOn chooses the readable one', () => {
    expect(inkOn('#ffd54a')).toBe('#0b1210');
    expect(inkOn('#0f766e')).toBe('#ffffff');
    expect(inkOn('tomato')).toBe('#ffffff');
  });
});

describe('serverAddress', () => {
  it.each([
    ['parley.example.com', 'https://parley.example.com'],
    [' https://parley.example.com/ ', 'https://parley.example.com'],
    ['localhost:8787', 'http://localhost:8787'],
    ['127.0.0.1:8787', 'http://127.0.0.1:8787'],
    ['http://10.0.0.5:8787/desk/', 'http://10.0.0.5:8787/desk'],
    ['', null],
    ['two words', null],
    ['https://jo@parley.example.com', null],
    ['ftp://parley.example.com', null],
  ])('%s → %s', (typed, want) => expect(serverAddress(typed)).toBe(want));
});
