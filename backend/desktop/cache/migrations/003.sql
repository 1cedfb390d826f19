-- What was written and not sent is sealed for a key that is kept outside this
-- file. Once there is a key, outbox.body and draft.text hold sealed texts only.
create table seal (
    n      integer primary key, -- the highest is in use
    key    text not null unique,
    public blob not null,
    swept  integer not null     -- what stood here open is overwritten
) strict;

-- Drafts that could not be read when another took their place.
create table draft_kept (
    n            integer primary key,
    conversation blob not null,
    text         text not null,
    comment      integer not null,
    updated_at   integer not null
) strict;
