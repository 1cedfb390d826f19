-- One schema for both databases, in SQLite's words; the dialect translates the
-- types for PostgreSQL. A line that begins with "--sqlite " or "--postgres "
-- is for that database only. This file is frozen once released: change the
-- schema by adding the next file.
--
-- Every primary key begins with workspace_id. Ids are 16 bytes, times are
-- microseconds since 1970, data is the entity's JSON as the protocol has it.
-- Columns beside data exist because a query filters or sorts by them, or
-- because the value never leaves the server.

create table counter (
  workspace_id blob not null,
  head integer not null,   -- the sequence number of the newest change
  floor integer not null,  -- changes up to here are no longer in the log
  epoch text not null,     -- new after a restore
  primary key (workspace_id)
) strict;

create table workspace (
  workspace_id blob not null,
  ver integer not null,
  created_at integer not null,
  data text not null,
  primary key (workspace_id)
) strict;

create table brand (
  workspace_id blob not null,
  id blob not null,
  ver integer not null,
  data text not null,
  primary key (workspace_id, id)
) strict;

create table channel (
  workspace_id blob not null,
  id blob not null,
  ver integer not null,
  brand_id blob,
  key text not null,
  slug text not null,
  secret text not null,
  data text not null,
  primary key (workspace_id, id),
  foreign key (workspace_id, brand_id) references brand (workspace_id, id)
) strict;
create unique index channel_key on channel (key) where key <> '';
create unique index channel_slug on channel (slug) where slug <> '';

create table member (
  workspace_id blob not null,
  id blob not null,
  ver integer not null,
  email text not null,     -- lower case
  disabled integer not null,
  password_hash text not null,
  data text not null,
  primary key (workspace_id, id)
) strict;
create unique index member_email on member (workspace_id, email) where email <> '';
create index member_login on member (email);

create table contact (
  workspace_id blob not null,
  id blob not null,
  ver integer not null,
  brand_id blob,
  data text not null,
  primary key (workspace_id, id),
  foreign key (workspace_id, brand_id) references brand (workspace_id, id)
) strict;
create index contact_ver on contact (workspace_id, ver);

create table identity (
  workspace_id blob not null,
  channel_id blob not null,
  address text not null,
  id blob,
  contact_id blob not null,
  primary key (workspace_id, channel_id, address)
) strict;

-- Words of names and addresses as search has them, and numbers from each digit on, for search by prefix.
create table contact_term (
  workspace_id blob not null,
  term text not null,
  contact_id blob not null,
  primary key (workspace_id, term, contact_id)
--sqlite ) strict, without rowid;
--postgres );
create table conversation (
  workspace_id blob not null,
  id blob not null,
  ver integer not null,
  brand_id blob,
  channel_id blob not null,
  contact_id blob not null,
  status text not null,
  state text not null,
  assignee_id blob,
  unread integer not null,
  last_number integer not null,
  last_message_at integer not null,
  data text not null,
  primary key (workspace_id, id),
  foreign key (workspace_id, channel_id) references channel (workspace_id, id),
  foreign key (workspace_id, contact_id) references contact (workspace_id, id)
) strict;
create index conversation_recent on conversation (workspace_id, last_message_at, id);
create index conversation_brand on conversation (workspace_id, brand_id, last_message_at, id);
create index conversation_unread on conversation (workspace_id, last_message_at, id) where unread > 0;
create index conversation_contact on conversation (workspace_id, contact_id, channel_id);
create index conversation_ver on conversation (workspace_id, ver);

create table message (
  workspace_id blob not null,
  conversation_id blob not null,
  number integer not null,
  id blob not null,
  ver integer not null,
  in_number integer not null,
  kind text not null,
  author_kind text not null,
  author_id text not null,
  stored_at integer not null,
  remote_id text not null,
  data text not null,
  primary key (workspace_id, conversation_id, number)
) strict;
create unique index message_id on message (workspace_id, id);
create index message_sent on message (workspace_id, conversation_id, author_id, number)
  where kind = 'message' and author_kind = 'member';

-- A vendor's message is taken once.
create table remote_message (
  workspace_id blob not null,
  channel_id blob not null,
  remote_id text not null,
  message_id blob not null,
  primary key (workspace_id, channel_id, remote_id)
) strict;

create table draft (
  workspace_id blob not null,
  conversation_id blob not null,
  member_id blob not null,
  ver integer not null,
  data text not null,
  primary key (workspace_id, conversation_id, member_id)
) strict;
create index draft_member on draft (workspace_id, member_id, ver);

-- What members want sent later.
create table scheduled (
  workspace_id blob not null,
  id blob not null,          -- of the message
  conversation_id blob not null,
  member_id blob not null,
  ver integer not null,
  send_at integer not null,  -- 0: refused when it was due
  data text not null,
  primary key (workspace_id, id)
) strict;
create index scheduled_member on scheduled (workspace_id, member_id, ver);
create index scheduled_due on scheduled (workspace_id, send_at) where send_at > 0;

-- What was deleted, for those who are too far behind to read the log.
create table tombstone (
  workspace_id blob not null,
  ver integer not null,
  kind text not null,
  id text not null,
  brand_id blob,
  conversation_id blob,
  member_id blob,
  primary key (workspace_id, ver)
) strict;
create unique index tombstone_of on tombstone (workspace_id, kind, id, member_id);

create table change (
  workspace_id blob not null,
  seq integer not null,
  at integer not null,
  kind text not null,
  id text not null,
  op text not null,
  brand_id blob,
  conversation_id blob,
  member_id blob,
  actor_kind text not null,
  actor_id text not null,
  cause blob,
  data text,
  primary key (workspace_id, seq)
) strict;

create table command (
  workspace_id blob not null,
  actor_id blob not null,
  id blob not null,
  hash blob not null,
  seq integer not null,
  status text not null,
  data text,
  problem text,
  at integer not null,
  primary key (workspace_id, actor_id, id)
) strict;

create table file (
  workspace_id blob not null,
  sha256 text not null,
  name text not null,
  type text not null,
  size integer not null,
  created_at integer not null,
  primary key (workspace_id, sha256)
) strict;

-- Which messages have a file as a part: who sees one of them may have it.
create table message_file (
  workspace_id blob not null,
  sha256 text not null,
  conversation_id blob not null,
  number integer not null, -- of the message
  primary key (workspace_id, sha256, conversation_id, number)
--sqlite ) strict, without rowid;
--postgres );
create index message_file_place on message_file (workspace_id, conversation_id, number);

-- Who has brought a file's content: they may have it, and send it.
create table file_upload (
  workspace_id blob not null,
  sha256 text not null,
  by_id blob not null, -- a member or a contact
  primary key (workspace_id, sha256, by_id)
--sqlite ) strict, without rowid;
--postgres );
create table session (
  workspace_id blob not null,
  id blob not null,
  member_id blob not null,
  device text not null,
  created_at integer not null,
  seen_at integer not null,
  token_hash blob not null,
  revoked_at integer not null, -- 0: live
  wipe integer not null,
  primary key (workspace_id, id),
  foreign key (workspace_id, member_id) references member (workspace_id, id)
) strict;
create unique index session_token on session (token_hash);
create index session_member on session (workspace_id, member_id);

create table visitor (
  workspace_id blob not null,
  token_hash blob not null,
  channel_id blob not null,
  contact_id blob,
  conversation_id blob,
  created_at integer not null,
  arrival text,            -- what is known before the first message
  primary key (workspace_id, token_hash),
  foreign key (workspace_id, channel_id) references channel (workspace_id, id)
) strict;
create unique index visitor_token on visitor (token_hash);
