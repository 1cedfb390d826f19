/**
 * Every word the window says, in one place. Features name a key; nothing in a
 * component is worded by itself.
 */
import { word, type Catalogue, type Params } from './catalogue';
import { thread } from './messages.thread';

const shell = {
  'app.name': 'Parley',
  'app.starting': 'Setting up your workspace',
  'app.starting_text': 'This takes a moment the first time.',

  'rail.label': 'Brands',
  'rail.all': 'All brands',
  'rail.unread': { one: '{n} unread message', other: '{n} unread messages' },
  'rail.settings': 'Settings',
  'rail.account': 'Account',

  'account.add': 'Add account…',
  'account.switch': 'Accounts',
  'account.sign_out': 'Sign out',
  'account.embedded': 'On this computer',
  'account.signed_out': 'signed out',
  'account.theme': 'Appearance',
  'account.keys': 'Keyboard shortcuts',

  'theme.light': 'Light',
  'theme.dark': 'Dark',
  'theme.system': 'Like the system',

  'list.label': 'Chats',
  'list.newest': 'Newest first. Show oldest first',
  'list.oldest': 'Oldest first. Show newest first',
  'list.quick': 'Quick lists',
  'list.more': 'More lists',
  'list.new': { one: '{n} new', other: '{n} new' },
  'list.new_hint': 'Show the chats that arrived meanwhile',
  'list.loading': 'Loading chats',
  'list.first_load': 'Loading your chats',
  'list.first_load_text': 'This happens once. Afterwards everything is here at once, online or not.',
  'list.first_load_progress': '{done} of {total} chats',
  'list.failed': 'The list could not be read',
  'list.retry': 'Try again',

  'quick.all': 'All',
  'quick.unread': 'Unread',
  'quick.mine': 'Mine',
  'quick.unassigned': 'Unassigned',
  'quick.unresolved': 'Unresolved',
  'quick.resolved': 'Resolved',

  'empty.unread': 'Everything is read',
  'empty.unread_text': 'Chats with new messages from customers show up here.',
  'empty.mine': 'Nothing is assigned to you',
  'empty.mine_text': 'Chats you are responsible for show up here.',
  'empty.unassigned': 'Every chat has somebody',
  'empty.unassigned_text': 'Chats nobody is responsible for show up here.',
  'empty.unresolved': 'Nothing is waiting',
  'empty.unresolved_text': 'Chats that still need attention show up here.',
  'empty.resolved': 'Nothing is resolved yet',
  'empty.resolved_text': 'Chats that are done for now show up here. A new message brings them back.',
  'empty.brand': 'No chats in this brand yet',
  'empty.brand_text': 'They appear here the moment a customer writes.',
  'empty.search': 'No contact found',
  'empty.search_text': 'Nobody in this list has a name, e-mail or phone number starting like “{query}”.',
  'empty.clear': 'Clear search',
  'empty.search_all': 'Search all chats',
  'empty.inbox': 'No chats yet',
  'empty.inbox_text': 'They appear here the moment a customer writes.',
  'empty.none_selected': 'No chat is open',
  'empty.none_selected_text': 'Choose one on the left, or press {keys} for the next.',

  'welcome.title': 'Your inbox is ready',
  'welcome.text': 'Anybody who opens this address can write to you. Open it yourself and say hello: it arrives here.',
  'welcome.address': 'Address of the page customers write from',

  'share.copy': 'Copy address',
  'share.open': 'Open page',
  'share.copied': 'The address is copied.',
  'share.none': 'There is no web channel yet.',

  'search.label': 'Search chats by name, e-mail or phone',
  'search.placeholder': 'Name, email or phone',
  'search.clear': 'Clear search',
  'search.results': { one: '{n} chat found', other: '{n} chats found' },

  'row.unread': { one: '{n} unread', other: '{n} unread' },
  'row.draft': 'Draft:',
  'row.pending': 'On its way',
  'row.assistant': 'The assistant answers',
  'row.escalated': 'Waits for a person',
  'row.requested': 'A colleague asked to join',
  'row.paused': 'Paused: nobody answers by itself',
  'row.held': '{name} answers',
  'row.assigned': 'Assigned to {name}',
  'row.resolved': 'Resolved',
  'row.closed': 'Closed',
  'row.csat': 'Rated {n} of 5',
  'row.active': 'Active in the last ten minutes',
  'row.recent': 'Active in the last hour',

  'preview.you': 'You: {text}',
  'preview.by': '{name}: {text}',
  'preview.comment': '{name} noted: {text}',
  'preview.you_comment': 'You noted: {text}',
  'preview.nothing': 'No messages yet',
  'preview.assistant': 'AI',
  'preview.flow': 'Bot',
  'preview.colleague': 'Colleague',
  'preview.image': 'Photo',
  'preview.video': 'Video',
  'preview.audio': 'Audio',
  'preview.voice': 'Voice message',
  'preview.file': 'File',
  'preview.location': 'Location',
  'preview.link': 'Link',
  'preview.template': 'Template',
  'preview.paid': 'Paid message',
  'preview.deleted': 'Message deleted',
  'preview.other': 'Message',
  'preview.named': '{kind} · {text}',

  'channel.web': 'Website',
  'channel.whatsapp': 'WhatsApp',
  'channel.instagram': 'Instagram',
  'channel.messenger': 'Messenger',
  'channel.facebook': 'Facebook',
  'channel.telegram': 'Telegram',
  'channel.email': 'E-mail',
  'channel.shopify': 'Shopify',
  'channel.generic': 'Channel',

  'time.yesterday': 'Yesterday',
  'time.today': 'Today',

  'sync.live_empty': 'Up to date',
  'sync.live': {
    one: 'Up to date · {n} chat readable offline',
    other: 'Up to date · {n} chats readable offline',
  },
  'sync.connecting': 'Connecting…',
  'sync.catching_up': 'Catching up…',
  'sync.progress': 'Syncing {done} of {total}',
  'sync.offline': 'Offline since {time} · everything here is readable',
  'sync.offline_now': 'Offline · everything here is readable',
  'sync.signed_out': 'Signed out · what is here is readable',
  'sync.error': 'Not up to date',
  'sync.queued': { one: '{n} message waits to go out', other: '{n} messages wait to go out' },
  'sync.refused': { one: '{n} message could not be sent', other: '{n} messages could not be sent' },

  'offline.banner': 'You are offline since {time}. Everything is readable; what you send goes out when the line is back.',
  'offline.banner_now': 'You are offline. Everything is readable; what you send goes out when the line is back.',
  'signed_out.banner': 'You are signed out of {server}. What is here stays readable.',
  'signed_out.action': 'Sign in',

  'problem.title': 'Parley cannot show your inbox',
  'problem.retry': 'Try again',
  'problem.connection': 'Not up to date: {problem}',

  'warning.dismiss': 'Understood',
  'warning.keychain_missing':
    'This computer has no keychain, so your sign-in is kept in a file only you can read. Anybody with access to your user account could use it.',

  'signin.title': 'Sign in',
  'signin.welcome': 'Welcome to Parley',
  'signin.text': 'Sign in to your company’s server, or try everything on this computer first.',
  'signin.add_text': 'Your other accounts stay as they are; switch between them at any time.',
  'signin.server': 'Server',
  'signin.server_hint': 'The address your admin gave you, e.g. parley.example.com',
  'signin.email': 'Email',
  'signin.password': 'Password',
  'signin.submit': 'Sign in',
  'signin.busy': 'Signing in…',
  'signin.open': 'Open {workspace}',
  'signin.embedded': 'Start on this computer',
  'signin.required': 'Please fill this in.',
  'signin.server_invalid': 'This is not an address. It looks like parley.example.com.',

  'settings.title': 'Settings',
  'settings.appearance': 'Appearance',
  'settings.theme': 'Theme',
  'settings.answering': 'Answering',
  'settings.send_key': 'Send with',
  'settings.send_enter': 'Enter',
  'settings.send_enter_note': 'Shift+Enter makes a new line.',
  'settings.send_ctrl_enter': '{mod}+Enter',
  'settings.send_ctrl_enter_note': 'Enter makes a new line.',
  'settings.read_mode': 'Mark as read',
  'settings.read_manual': 'Only when I say so',
  'settings.read_on_reply': 'When I answer',
  'settings.read_on_open': 'When I open the chat',
  'settings.share': 'Pages customers write from',
  'settings.about': 'About',
  'settings.version': 'Version',
  'settings.server': 'Server',
  'settings.workspace': 'Workspace',

  'panel.list_width': 'Width of the chat list',
  'panel.contact_width': 'Width of the contact card',
  'panel.thread': 'Chat',
  'panel.contact': 'Contact',

  'keys.title': 'Keyboard shortcuts',
  'keys.chats': 'Chats',
  'keys.answering': 'Answering',
  'keys.window': 'Window',
  'keys.next': 'Next chat',
  'keys.previous': 'Previous chat',
  'keys.move': 'Move through the list',
  'keys.open': 'Open and answer',
  'keys.search': 'Search chats',
  'keys.read': 'Mark as read or unread',
  'keys.resolve': 'Resolve or reopen',
  'keys.reply': 'Write a reply',
  'keys.comment': 'Write a comment',
  'keys.send': 'Send',
  'keys.contact': 'Show or hide the contact card',
  'keys.panels': 'Go to the next part of the window',
  'keys.panels_back': 'Go to the previous part',
  'keys.escape': 'Clear, close or go back',
  'keys.settings': 'Settings',
  'keys.help': 'This overview',

  'dialog.close': 'Close',
  'toast.dismiss': 'Dismiss',
  'toast.label': 'Notices',
  'failed.action': 'That did not work: {problem}',
} as const satisfies Catalogue;

const catalogue = { ...shell, ...thread };

export type MessageKey = keyof typeof catalogue;

/** The language the window speaks; numbers and times follow the system. */
export const language = 'en';

/** The wording of a key, with its parameters put in. */
export function t(key: MessageKey, params: Params = {}): string {
  return word(catalogue[key], params, language);
}

/** Reports whether the catalogue has a wording for a name made at run time. */
export function isMessageKey(key: string): key is MessageKey {
  return Object.hasOwn(catalogue, key);
}
