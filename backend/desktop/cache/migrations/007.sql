-- How far this device had followed which log when a draft was begun: another
-- device's draft that is newer was not seen, and is not replaced.
alter table draft add column base integer not null default 0;
alter table draft add column epoch text not null default '';
