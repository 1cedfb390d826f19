package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"parley/backend/chat"
	"parley/backend/server/store/pgtest"
)

// fresh is a place of the other or the same kind where nothing is yet.
func fresh(t *testing.T, postgres bool) Options {
	t.Helper()
	if postgres {
		return quiet(Options{Database: pgtest.URL(t)})
	}
	return quiet(Options{Data: filepath.Join(t.TempDir(), "new")})
}

func TestBackupAndRestoreEverywhere(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "José")
		for i := range 40 {
			w.say(c.ID, fmt.Sprint("text ", i))
		}
		must(t, s.PutSession(t.Context(), w.ws, chat.Session{ID: chat.NewID[chat.Session](), Member: w.owner.ID, TokenHash: []byte{0, 1, 255}}))
		must(t, s.PutVisitor(t.Context(), Visitor{Workspace: w.ws, TokenHash: []byte{2}, Channel: w.channels[0].ID}))
		file := filepath.Join(t.TempDir(), "it's a backup.db")
		must(t, s.Backup(t.Context(), file))
		wantCode(t, s.Backup(t.Context(), file), chat.CodeConflict)
		before, err := os.ReadFile(file)
		must(t, err)
		head, epoch, floor, err := s.Head(t.Context(), w.ws)
		must(t, err)
		w.say(c.ID, "after the backup")

		for _, postgres := range []bool{false, true} {
			opt := fresh(t, postgres)
			must(t, Restore(t.Context(), file, opt))
			r := opened(t, opt)
			head2, epoch2, floor2, err := r.Head(t.Context(), w.ws)
			must(t, err)
			if head2 != head || floor2 != floor || epoch2 == epoch || epoch2 == "" {
				t.Errorf("head %d, floor %d, epoch %s; want %d, %d and another than %s", head2, floor2, epoch2, head, floor, epoch)
			}
			_, _, last, _, err := r.Messages(t.Context(), w.ws, chat.ViewOf(w.owner), c.ID, 0, 0, 0, 1)
			if err != nil || last != 40 {
				t.Errorf("%d messages, %v", last, err)
			}
			_, _, m, err := r.SessionByToken(t.Context(), []byte{0, 1, 255})
			if err != nil || m.ID != w.owner.ID {
				t.Errorf("session of %+v, %v", m, err)
			}
			_, m, err = r.MemberByEmail(t.Context(), w.owner.Email)
			if err != nil || m.PasswordHash != "hash" {
				t.Errorf("member %+v, %v", m, err)
			}
			checked(t, r)
			restored := *w
			restored.s = r
			restored.say(c.ID, "goes on")
			checked(t, r)
			wantCode(t, Restore(t.Context(), file, opt), chat.CodeConflict) // occupied
		}
		after, err := os.ReadFile(file)
		must(t, err)
		if !bytes.Equal(before, after) {
			t.Error("restoring changed the backup")
		}
		if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
			t.Errorf("beside the backup lies %v, %v", entries, err)
		}
	})
}

func TestRestoreRefusesWhatIsNoBackup(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	must(t, os.WriteFile(text, []byte("notes"), 0o600))
	empty := filepath.Join(dir, "empty")
	must(t, os.WriteFile(empty, nil, 0o600))
	opt := fresh(t, false)
	wantCode(t, Restore(t.Context(), text, opt), chat.CodeConflict)
	wantCode(t, Restore(t.Context(), empty, opt), chat.CodeConflict)
	wantCode(t, Restore(t.Context(), filepath.Join(dir, "nowhere"), opt), chat.CodeUnavailable)
	if _, err := os.Stat(databasePath(opt)); err == nil {
		t.Error("a refused restore left a database")
	}
	s := opened(t, quiet(Options{Data: t.TempDir()}))
	wantCode(t, s.Backup(t.Context(), filepath.Join(dir, "no", "folder", "x.db")), chat.CodeUnavailable)
}

func TestImport(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		old := w.begin(0, "Before")
		w.say(old.ID, "before")
		before := w.head()
		const conversations = 300
		total := importSome(t, w, conversations, 20)
		head, _, floor, err := s.Head(t.Context(), w.ws)
		must(t, err)
		if head != before+int64(total) || floor != head {
			t.Errorf("head %d, floor %d, want both %d", head, floor, before+int64(total))
		}
		_, _, _, _, err = s.Changes(t.Context(), w.ws, chat.ViewOf(w.owner), before, 10, 0)
		wantCode(t, err, chat.CodeFarBehind)
		if rows := collect(t, w, chat.ViewOf(w.owner), before, 0); len(rows) != 2*conversations+2 { // and a brand with its channel
			t.Errorf("the state since has %d rows", len(rows))
		}
		list, _, _, err := s.Conversations(t.Context(), w.ws, chat.ViewOf(w.owner), ConversationFilter{Query: "imported299"}, "", 10)
		if err != nil || len(list) != 1 {
			t.Errorf("search finds %d, %v", len(list), err)
		}
		w.say(old.ID, "after")
		w.say(list[0].ID, "after")
		checked(t, s)
	})
}

// An import that is cut off anywhere leaves whole threads.
func TestAnImportIsCutOnlyBetweenThreads(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		gone := errors.New("the power went")
		const messages = 7
		before := w.head()
		err := s.Import(t.Context(), w.ws, func(imp *Importer) error {
			imp.batch = 20
			for i := range 10 {
				if _, err := importOne(imp, w.channels[0], i, messages); err != nil {
					return err
				}
				if err := imp.Whole(); err != nil {
					return err
				}
			}
			_, err := importOne(imp, w.channels[0], 10, messages)
			return errors.Join(err, gone)
		})
		if !errors.Is(err, gone) {
			t.Fatal(err)
		}
		if n := w.head() - before; n != 9*(2+messages) { // three threads fill a batch
			t.Errorf("%d entities were committed", n)
		}
		checked(t, s)

		ctx, stop := context.WithCancel(t.Context())
		err = s.Import(ctx, w.ws, func(imp *Importer) error {
			stop()
			return imp.Contact(chat.Contact{})
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("an import of a context that has ended: %v", err)
		}
	})
}

// importSome brings in conversations with so many messages each, and gives
// the number of entities.
func importSome(tb testing.TB, w *world, conversations, messages int) (total int) {
	tb.Helper()
	brand := chat.Brand{ID: chat.NewID[chat.Brand](), Name: "Imported", Position: 9}
	channel := chat.Channel{ID: chat.NewID[chat.Channel](), Brand: brand.ID, Kind: chat.KindWhatsApp, Name: "WhatsApp"}
	must(tb, w.s.Import(tb.Context(), w.ws, func(imp *Importer) error {
		if err := imp.Brand(brand); err != nil {
			return err
		}
		if err := imp.Channel(channel); err != nil {
			return err
		}
		total = 2
		for i := range conversations {
			n, err := importOne(imp, channel, i, messages)
			if err := errors.Join(err, imp.Whole()); err != nil {
				return err
			}
			total += n
		}
		return nil
	}))
	return total
}

const importText = "Hello, my order has not arrived yet and the tracking page shows nothing since Monday. Could you have a look where the parcel is, please?"

func importOne(imp *Importer, channel chat.Channel, i, messages int) (int, error) {
	k := chat.Contact{ID: chat.NewID[chat.Contact](), Brand: channel.Brand, Name: fmt.Sprint("Imported", i), Email: fmt.Sprint("c", i, "@mail.example")}
	k.Identities = []chat.Identity{{ID: chat.NewID[chat.Identity](), Channel: channel.ID, Address: fmt.Sprint("+49", i)}}
	if err := imp.Contact(k); err != nil {
		return 0, err
	}
	c := chat.NewConversation(chat.NewID[chat.Conversation](), channel, k.ID, k.Identities[0].ID, false, chat.Time(1_700_000_000_000_000+i))
	for n := range messages {
		m := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindMessage, Author: chat.CustomerActor(k.ID),
			Parts: []chat.Part{chat.TextPart(importText)}, StoredAt: c.CreatedAt.Add(0) + chat.Time(n), SentAt: c.CreatedAt}
		c.Append(&m)
		if err := imp.Message(m); err != nil {
			return 0, err
		}
	}
	return 2 + messages, imp.Conversation(c)
}

// A backup of a server that does not run changes nothing of it, so that it
// works where nothing can be written; what only the log holds is in it.
func TestBackupWritesNothingBesideTheDatabase(t *testing.T) {
	for name, ends := range map[string][]string{"stopped": nil, "killed": {"", "-wal", "-shm"}, "killed, without the log's index": {"", "-wal"}} {
		t.Run(name, func(t *testing.T) {
			opt := quiet(Options{Data: t.TempDir()})
			s := opened(t, opt)
			w := newWorld(t, s)
			c := w.begin(0, "Ada")
			m := w.say(c.ID, "acknowledged")
			place := quiet(Options{Data: t.TempDir(), Scratch: t.TempDir(), ReadOnly: true})
			if ends == nil {
				must(t, s.Close())
				ends = []string{""}
			}
			for _, end := range ends {
				must(t, copyFile(databasePath(opt)+end, databasePath(place)+end))
			}
			before := contents(t, place.Data)
			file := filepath.Join(t.TempDir(), "backup.db")
			from := opened(t, place)
			must(t, from.Backup(t.Context(), file))
			checked(t, from)
			if during := contents(t, place.Data); !maps.Equal(during, before) {
				t.Errorf("while it is open there is %v, not %v", during, before)
			}
			must(t, from.Close())
			if after := contents(t, place.Data); !maps.Equal(after, before) {
				t.Errorf("afterwards there is %v, not %v", after, before)
			}
			if left := contents(t, place.Scratch); len(left) != 0 {
				t.Errorf("of the copy is left %v", left)
			}
			restored := fresh(t, false)
			must(t, Restore(t.Context(), file, restored))
			_, _, _, msgs, err := opened(t, restored).Messages(t.Context(), w.ws, chat.ViewOf(w.owner), c.ID, 0, 0, 0, 10)
			if err != nil || len(msgs) != 1 || msgs[0].ID != m.ID {
				t.Errorf("%d messages, %v", len(msgs), err)
			}
		})
	}
}

func TestBackupBesideARunningServer(t *testing.T) {
	opt := quiet(Options{Data: t.TempDir()})
	stopped := opened(t, opt)
	newWorld(t, stopped)
	must(t, stopped.Close())
	reading := opt
	reading.ReadOnly = true
	alone := opened(t, reading)
	opened(t, opt)
	file := filepath.Join(t.TempDir(), "backup.db")
	wantCode(t, alone.Backup(t.Context(), file), chat.CodeConflict) // it was read as if nobody wrote
	must(t, opened(t, reading).Backup(t.Context(), file))
}

// Who brings a newer program makes a backup first, of what the older one wrote.
func TestBackupOfAnOlderDatabase(t *testing.T) {
	both(t, func(t *testing.T, s *Store, opt Options) {
		w := newWorld(t, s)
		must(t, s.Close())
		steps, err := migrations()
		must(t, err)
		opt.ReadOnly, opt.AnyVersion = true, true
		s, err = open(t.Context(), opt, append(steps[:len(steps):len(steps)], "create table later (workspace_id blob not null) strict;\n"))
		must(t, err)
		file := filepath.Join(t.TempDir(), "backup.db")
		must(t, s.Backup(t.Context(), file))
		must(t, s.Close())
		restored := fresh(t, false)
		must(t, Restore(t.Context(), file, restored))
		if got, err := opened(t, restored).Workspace(t.Context(), w.ws); err != nil || got.Name != "Acme" {
			t.Errorf("workspace %+v, %v", got, err)
		}
	})
}
