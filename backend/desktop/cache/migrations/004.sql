-- A refusal says which messages speak against a text. Their words are the
-- customer's, and this file outlives the right to read them: they are read from
-- the cache. What stood there is overwritten at this opening; where nothing is
-- sealed yet, when it is.
update outbox set problem = json_set(problem, '$.messages', json((
        select json_group_array(json_patch('{"parts":[]}', json_object(
            'id', value ->> 'id', 'ver', value ->> 'ver', 'conversation', value ->> 'conversation', 'number', value ->> 'number',
            'kind', value ->> 'kind', 'author', json(value -> 'author'), 'sent_at', value ->> 'sent_at', 'stored_at', value ->> 'stored_at')))
        from json_each(problem, '$.messages'))))
    where case when json_valid(problem) then json_type(problem, '$.messages') = 'array' end;
update seal set swept = 0;
