package store

import (
	"context"
	"database/sql"

	"parley/backend/chat"
)

// State streams what changed after a position, as it now is, for a reader who
// is too far behind for the log: settings, contacts and conversations (each
// with its contact) with a higher ver, the member's drafts and scheduled
// messages, and tombstones of what was deleted. Messages are not in it: a conversation's last number tells
// what is missing. As with Bootstrap, the reader then catches up from the head
// given to Begin, and the cursor continues a broken answer.
//
// Of conversations it gives those in the window, like Bootstrap, and older ones
// that the reader may hold from before: else one that was resolved meanwhile
// would stay open there for ever. With Buckets it gives nothing but all of the
// window's conversations in these, changed or not. A position that the log has not reached is
// chat.CodeReset, as for Changes.
func (s *Store) State(ctx context.Context, ws chat.WorkspaceID, view chat.View, after int64, st Stream) (next string, err error) {
	begin := st.Begin
	st.Begin = func(head int64, epoch string, since chat.Time) error {
		if after > head {
			return errReset()
		}
		if begin == nil {
			return nil
		}
		return begin(head, epoch, since)
	}
	stages := []string{stageSettings, stageContacts, stageConversations, stageDrafts, stageScheduled, stageTombstones}
	if st.Buckets != nil {
		stages = []string{stageSettings, stageBuckets}
	}
	a, at, err := s.stream(ctx, ws, view, st, stages...)
	if err != nil {
		return "", err
	}
	if st.Buckets != nil {
		err := a.repair(ws, at.pos.id)
		return a.stop, err
	}
	a.after = after
	if at.stage == stageSettings {
		at = cursor{stage: stageContacts, ver: after}
		if after == 0 {
			after = everything
		}
		if err := a.settings(after, at); err != nil {
			return "", err
		}
	}
	if at.stage == stageContacts && a.stop == "" {
		if err := a.changedContacts(max(after, at.ver)); err != nil {
			return "", err
		}
		at = cursor{stage: stageConversations, ver: after}
	}
	if at.stage == stageConversations && a.stop == "" {
		if err := a.changedConversations(max(after, at.ver)); err != nil {
			return "", err
		}
		at = cursor{stage: stageDrafts, ver: after}
	}
	if at.stage == stageDrafts && a.stop == "" {
		if err := a.drafts(max(after, at.ver)); err != nil {
			return "", err
		}
		at = cursor{stage: stageScheduled, ver: after}
	}
	if at.stage == stageScheduled && a.stop == "" {
		if err := a.scheduled(max(after, at.ver)); err != nil {
			return "", err
		}
		at = cursor{stage: stageTombstones, ver: after}
	}
	if at.stage == stageTombstones && a.stop == "" {
		if err := a.tombstones(max(after, at.ver)); err != nil {
			return "", err
		}
	}
	return a.stop, nil
}

// Pages of a state answer go by ver and end at the head: what changes
// meanwhile is caught up from there.

func (a *stream) changedContacts(ver int64) error {
	for {
		q := &query{}
		q.add(`select k.id, k.ver, k.brand_id, k.data from contact k where k.workspace_id = ? and k.ver > ? and k.ver <= ?`, a.r.ws, ver, a.head)
		q.brands(a.view, "k.brand_id")
		if a.Days > 0 {
			q.add(` and exists (select 1 from conversation c where c.workspace_id = k.workspace_id and c.contact_id = k.id`)
			a.wanted(q)
			q.add(`)`)
		}
		q.add(` order by k.ver limit ?`, int64(pageRows))
		page, err := a.rows(chat.EntityContact, q.text.String(), q.args...)
		if err != nil {
			return err
		}
		for _, row := range page {
			ver = row.Ver
			row.Cursor = a.cursor(cursor{stage: stageContacts, ver: ver})
			if err := a.emit(row); err != nil || a.stop != "" {
				return err
			}
		}
		if len(page) < pageRows {
			return nil
		}
	}
}

func (a *stream) changedConversations(ver int64) error {
	for {
		q := &query{}
		q.add(selectPairs)
		q.add(` where c.workspace_id = ? and c.ver > ? and c.ver <= ?`, a.r.ws, ver, a.head)
		q.brands(a.view, "c.brand_id")
		if a.Days > 0 {
			a.wanted(q)
		}
		q.add(` order by c.ver limit ?`, int64(pageRows))
		page, err := a.pairs(q)
		if err != nil {
			return err
		}
		for _, p := range page {
			ver = p.conversation.Ver
			if err := a.emitPair(p, cursor{stage: stageConversations, ver: ver}); err != nil || a.stop != "" {
				return err
			}
		}
		if len(page) < pageRows {
			return nil
		}
	}
}

// wanted restricts a query on conversation c to the window, and to what was
// there at the reader's position: a thread with a message from then, or none
// at all. What was brought in since from long ago is left out.
func (a *stream) wanted(q *query) {
	q.add(` and (c.last_message_at >= ? or c.status = 'open' or c.last_number = 0 or exists (select 1 from message m
		where m.workspace_id = c.workspace_id and m.conversation_id = c.id and m.ver <= ?))`, int64(a.Since), a.after)
}

func (a *stream) tombstones(ver int64) error {
	for {
		q := &query{}
		q.add(`select ver, kind, id, brand_id, conversation_id from tombstone
			where workspace_id = ? and ver > ? and ver <= ? and (member_id is null or member_id = ?)`, a.r.ws, ver, a.head, a.view.Member.Bytes())
		q.brands(a.view, "brand_id")
		q.add(` order by ver limit ?`, int64(pageRows))
		var page []Row
		err := a.r.each("tombstone", q.text.String(), func(rows *sql.Rows) error {
			row := Row{Op: chat.OpDelete}
			var kind string
			if err := rows.Scan(&row.Ver, &kind, &row.ID, &row.Brand, &row.Conversation); err != nil {
				return err
			}
			row.Kind = chat.EntityKind(kind)
			row.Cursor = a.cursor(cursor{stage: stageTombstones, ver: row.Ver})
			page = append(page, row)
			return nil
		}, q.args...)
		if err != nil {
			return err
		}
		if err := a.emitAll(page); err != nil || a.stop != "" || len(page) < pageRows {
			return err
		}
		ver = page[len(page)-1].Ver
	}
}
