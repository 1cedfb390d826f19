package store

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/backend/chat"
)

// plant runs a statement behind the store's back.
func plant(t *testing.T, s *Store, q string, args ...any) {
	t.Helper()
	var q2 querier = s.w
	if s.conn != nil {
		q2 = s.conn
	}
	res, err := q2.ExecContext(t.Context(), s.d.bind(q), args...)
	must(t, err)
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("the statement touched nothing: %s (%v)", q, err)
	}
}

func TestCheckFindsPlantedDifferences(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		w.say(c.ID, "one")
		m := w.answer(c.ID, "two")
		w.say(c.ID, "three")
		checked(t, s)
		id := c.ID.Bytes()
		for _, x := range []struct {
			field string
			plant string
			args  []any
			undo  string
		}{
			{"column unread", `update conversation set unread = unread + 1 where id = ?`, []any{id}, `update conversation set unread = unread - 1 where id = ?`},
			{"column status", `update conversation set status = 'resolved' where id = ?`, []any{id}, `update conversation set status = 'open' where id = ?`},
			{"turns", `update conversation set data = replace(data, '"turns":2', '"turns":7') where id = ?`, []any{id},
				`update conversation set data = replace(data, '"turns":7', '"turns":2') where id = ?`},
			{"last_number", `update conversation set data = replace(data, '"last_number":3', '"last_number":4') where id = ?`, []any{id},
				`update conversation set data = replace(data, '"last_number":4', '"last_number":3') where id = ?`},
			{"preview", `update conversation set data = replace(data, '"preview":"three"', '"preview":"3"') where id = ?`, []any{id},
				`update conversation set data = replace(data, '"preview":"3"', '"preview":"three"') where id = ?`},
			{"data", `update message set data = replace(data, 'two', '2!') where id = ?`, []any{m.ID.Bytes()},
				`update message set data = replace(data, '2!', 'two') where id = ?`},
			{"id and ver in data", `update message set ver = ver + 1000 where id = ?`, []any{m.ID.Bytes()}, `update message set ver = ver - 1000 where id = ?`},
			{"head", `update counter set head = head + 1 where workspace_id = ?`, []any{w.ws.Bytes()}, `update counter set head = head - 1 where workspace_id = ?`},
			{"next change", `update change set seq = seq + 5000 where seq = ?`, []any{int64(4)}, `update change set seq = seq - 5000 where seq - 5000 = ?`},
			{"contact", `update identity set contact_id = channel_id where contact_id = ?`, []any{c.Contact.Bytes()},
				`update identity set contact_id = ? where contact_id = channel_id`},
			{"search term", `update contact_term set term = 'x' where contact_id = ?`, []any{c.Contact.Bytes()}, `update contact_term set term = 'ada' where contact_id = ?`},
			{"file of message 1", `insert into message_file (workspace_id, sha256, conversation_id, number) values (?, 'x', ?, 1)`,
				[]any{w.ws.Bytes(), id}, `delete from message_file where workspace_id = ? and conversation_id = ?`},
			{"number", `update message set number = number + 7 where id = ?`, []any{m.ID.Bytes()}, `update message set number = number - 7 where id = ?`},
			{"conversation", `update message set conversation_id = workspace_id where id = ?`, []any{m.ID.Bytes()}, ""},
		} {
			plant(t, s, x.plant, x.args...)
			list, err := s.Check(t.Context())
			must(t, err)
			found := false
			for _, d := range list {
				found = found || d.Field == x.field
				if text := d.String(); strings.Contains(text, "three") || !strings.Contains(text, "should be") {
					t.Errorf("the difference reads %q", text)
				}
			}
			if !found {
				t.Errorf("%s: not found among %v", x.field, list)
			}
			if x.undo != "" {
				plant(t, s, x.undo, x.args...)
				checked(t, s)
			}
		}
	})
}

// Whatever happens in a conversation, step by step, is what a recount of the
// stored thread gives.
func TestRecountAgreesWithEveryHistory(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		rapid.Check(t, func(r *rapid.T) {
			var id chat.ConversationID
			err := s.Update(context.Background(), w.ws, func(tx *Tx) error {
				c, err := w.start(tx, 0, "Ada")
				id = c.ID
				return err
			})
			if err != nil {
				r.Fatal(err)
			}
			for range rapid.IntRange(1, 12).Draw(r, "steps") {
				step := rapid.IntRange(0, 5).Draw(r, "step")
				number := int64(rapid.IntRange(0, 14).Draw(r, "number"))
				if err := s.Update(context.Background(), w.ws, func(tx *Tx) error { return w.step(tx, id, step, number) }); err != nil {
					r.Fatal(err)
				}
			}
			err = s.Update(context.Background(), w.ws, func(tx *Tx) error {
				c, err := tx.Conversation(id)
				if err != nil {
					return err
				}
				thread, err := tx.MessagesAfter(id, 0, 100)
				if err != nil {
					return err
				}
				if got, want := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", c.Recount(thread)); got != want {
					r.Errorf("stored   %s\nrecount  %s", got, want)
				}
				return nil
			})
			if err != nil {
				r.Fatal(err)
			}
		})
		checked(t, s)
	})
}

// step does one thing to a conversation.
func (w *world) step(tx *Tx, id chat.ConversationID, step int, number int64) error {
	author := []chat.Actor{{Kind: chat.ActorCustomer}, chat.MemberActor(w.owner.ID), chat.SystemActor(), chat.MemberActor(w.owner.ID)}
	kind := []chat.MessageKind{chat.MessageKindMessage, chat.MessageKindMessage, chat.MessageKindEvent, chat.MessageKindComment}
	if step < len(author) {
		_, err := appendTo(tx, id, author[step], kind[step], fmt.Sprint("text ", number))
		return err
	}
	c, err := tx.Conversation(id)
	if err != nil {
		return err
	}
	if step == 4 {
		c.Status = chat.StatusResolved
		return tx.PutConversation(&c, w.meta)
	}
	in, err := tx.InNumberAt(id, number)
	if err != nil || !c.Read(number, in) {
		return err
	}
	return tx.PutConversation(&c, w.meta)
}
