-- When the server is to send a text, by this machine's clock: its body says it
-- by the server's.
alter table outbox add column send_at integer not null default 0;
