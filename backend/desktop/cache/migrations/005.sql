-- Of what has not gone out, what its author was told, and when.
create table told (
    entry text primary key,
    at    integer not null
) strict, without rowid;
