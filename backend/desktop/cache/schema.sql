-- The desktop's cache of what the server can send again. Rows arrive in any
-- order and any number of times; ver decides. Everything here is disposable:
-- a change of this file makes every existing cache be built anew.

create table meta (
    key   text primary key,
    value any
) strict, without rowid;

-- Brands, channels and members by small numbers, so that indexes stay small.
create table ref (
    n  integer primary key,
    id blob not null unique
) strict;

-- workspace, brand, channel, member: few, read whole.
create table entity (
    kind  text not null,
    id    blob not null,
    ver   integer not null,
    mark  integer not null,
    brand integer,
    data  blob not null,
    primary key (kind, id)
) strict, without rowid;

create table contact (
    n     integer primary key,
    id    blob not null unique,
    ver   integer not null, -- 0: not here yet, only pointed to
    mark  integer not null,
    brand integer not null,
    label text not null,
    data  blob
) strict;
create index contact_brand on contact (brand);
create index contact_unknown on contact (n) where ver = 0;

-- A conversation that is not shown is only known from its messages.
create table conversation (
    n           integer primary key,
    id          blob not null unique,
    ver         integer not null,
    mark        integer not null,
    shown       integer not null,
    brand       integer not null,
    channel     integer,
    contact     integer,
    assignee    integer,
    done        integer not null, -- 0 open, 1 resolved or closed
    unread      integer not null,
    last_at     integer not null,
    last_number integer not null,
    headless    integer not null default 0, -- 1: shown, and its newest messages are not all here; 2: because they were pruned
    label       text not null,    -- of the contact
    data        blob
) strict;
create index conversation_contact on conversation (contact);
create index conversation_purge on conversation (brand) where shown = 0;
-- One index per list, with and without a brand, each in the order of the list.
create index list_all              on conversation (last_at, id)                  where shown = 1;
create index list_all_brand        on conversation (brand, last_at, id)           where shown = 1;
create index list_unread           on conversation (last_at, id)                  where shown = 1 and unread > 0;
create index list_unread_brand     on conversation (brand, last_at, id)           where shown = 1 and unread > 0;
create index list_mine             on conversation (assignee, last_at, id)        where shown = 1 and assignee is not null;
create index list_mine_brand       on conversation (assignee, brand, last_at, id) where shown = 1 and assignee is not null;
create index list_unassigned       on conversation (last_at, id)                  where shown = 1 and assignee is null;
create index list_unassigned_brand on conversation (brand, last_at, id)           where shown = 1 and assignee is null;
create index list_unresolved       on conversation (last_at, id)                  where shown = 1 and done = 0;
create index list_unresolved_brand on conversation (brand, last_at, id)           where shown = 1 and done = 0;
create index list_resolved         on conversation (last_at, id)                  where shown = 1 and done = 1;
create index list_resolved_brand   on conversation (brand, last_at, id)           where shown = 1 and done = 1;
create index count_unread          on conversation (brand, done, assignee)        where shown = 1 and unread > 0;
-- What a proof sums up, without reading the rows.
create index holding               on conversation (done, last_at, id, ver)       where shown = 1;
-- What the background still has to load, in its order.
create index headless              on conversation (last_at, id, done)            where shown = 1 and headless = 1;

-- What was pruned, for counting; the background leaves it alone.
create index pruned                on conversation (brand)                        where shown = 1 and headless = 2;

-- When the agent last opened a conversation: pruning leaves it alone for a while.
create table opened (
    conversation integer primary key,
    at           integer not null
) strict;

-- key is conversation.n * 2^24 + number: a thread lies in one piece, in order.
create table message (
    key  integer primary key,
    id   blob not null,
    ver  integer not null,
    mark integer not null,
    data blob not null,
    undelivered_at integer not null default 0 -- when it was stored, of one whose delivery has failed
) strict;
create index message_id on message (id);
create index message_undelivered on message (undelivered_at) where undelivered_at > 0;

-- Conversations of the log before that have changed, while the bootstrap of another one is under way.
create table doubtful (conversation integer primary key) strict;

-- Messages whose number another message has taken. In one log that does not
-- happen: they are of the log before, whether that is known yet or not, and stay
-- until the bootstrap has named what there is: see vanished.go.
create table displaced (
    id           blob primary key,
    conversation blob not null,
    data         blob not null
) strict, without rowid;
create trigger message_displaced before update of id on message when old.id <> new.id begin
    insert into displaced select old.id, c.id, old.data from conversation c
        where c.n = old.key >> 24 and not exists (select 1 from displaced d where d.id = old.id);
end;

-- The ranges of message numbers that are cached without holes.
create table span (
    conversation integer not null,
    lo           integer not null,
    hi           integer not null,
    primary key (conversation, lo)
) strict, without rowid;

-- The member's own drafts as the server has them.
create table draft (
    conversation integer primary key,
    ver          integer not null,
    mark         integer not null,
    filled       integer not null, -- 0: emptied
    data         blob not null     -- sealed, see own.go
) strict;

-- The member's own messages that the server sends later.
create table scheduled (
    id           blob primary key, -- of the message
    conversation integer not null,
    ver          integer not null,
    mark         integer not null,
    refused      integer not null, -- when it was due
    data         blob not null     -- sealed, see own.go
) strict, without rowid;
create index scheduled_conversation on scheduled (conversation);

-- What was deleted, so that an older put arriving late does not bring it back.
create table tombstone (
    kind text not null,
    id   blob not null,
    ver  integer not null,
    primary key (kind, id)
) strict, without rowid;

-- Messages that the index has not taken in yet, those of one transaction in a
-- row: pairs of a key and how many follow it, as varints. Taken oldest first.
create table unindexed (
    n    integer primary key,
    keys blob not null
) strict;

-- A message's place in the index, which is its time: the newest come first,
-- because FTS5 reads upwards at half the price; sum is of its words there.
create table indexed (
    doc integer primary key,
    key integer not null unique,
    sum integer not null
) strict;

-- Texts come in the form of the package search: whoever changes that form
-- counts this up, so that every index is built anew: 5. Words are folded and
-- cut by us, so that the tokenizer only has to find the spaces; what stands
-- side by side is checked on the message, so that the index need not know it.
create virtual table message_fts using fts5(
    words,
    content='', contentless_delete=1, detail=none, prefix='2 3 4', tokenize='ascii'
);
create virtual table contact_fts using fts5(
    label, email, phone,
    content='', contentless_delete=1, prefix='2 3', tokenize='unicode61 remove_diacritics 2'
);
