-- What only this machine knows. Times are microseconds since 1970, ids 16
-- bytes, JSON is text.

-- Commands in the order in which they were given.
create table outbox (
    n            integer primary key autoincrement,
    id           blob not null unique,         -- of the command
    conversation blob,
    kind         text not null,
    entity       text not null,                -- what the command makes or changes
    body         text not null,
    seen         integer,
    created_at   integer not null,
    state        text not null check (state in ('queued', 'sending', 'refused')),
    problem      text,
    attempts     integer not null default 0,
    next_at      integer not null default 0
) strict;
create index outbox_conversation on outbox (conversation, n);

create table draft (
    conversation blob primary key,
    text         text not null,
    comment      integer not null,
    updated_at   integer not null,
    synced       integer not null
) strict, without rowid;

create table setting (
    key   text primary key,
    value text not null
) strict, without rowid;
