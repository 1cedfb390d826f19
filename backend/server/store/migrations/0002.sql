-- The words of messages, for search. The index follows the log behind the
-- writes; what it has not reached is read from the log.

-- A message's place in the index, which is its time. sum is of its words;
-- PostgreSQL has them here, as a tsvector is written, SQLite in message_fts.
create table message_doc (
  workspace_id blob not null,
  doc integer not null,
  conversation_id blob not null,
  number integer not null,
  sum integer not null,
  words text not null,
  primary key (workspace_id, doc)
) strict;
create unique index message_doc_place on message_doc (workspace_id, conversation_id, number);
--sqlite create unique index message_doc_doc on message_doc (doc);
--sqlite create virtual table message_fts using fts5(body, has, content='', contentless_delete=1, prefix='3', tokenize='unicode61 remove_diacritics 2');
--postgres create index message_doc_words on message_doc using gin ((words::tsvector));

-- How far the index has come in the log of this epoch. Where the log does not
-- go back far enough, all messages are gone through, from the place that is set.
create table message_index (
  workspace_id blob not null,
  epoch text not null,
  upto integer not null,
  anew integer not null,     -- 1: what stands in the index counts for nothing
  at_conversation blob,      -- null: the log is followed
  at_number integer not null,
  primary key (workspace_id)
) strict;
