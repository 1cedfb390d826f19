-- How long a command has waited, counted while the program runs: clocks lie.
alter table outbox add column elapsed_ms integer not null default 0;
