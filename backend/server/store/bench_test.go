package store

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"parley/backend/chat"
	"parley/backend/server/store/pgtest"
)

// benchBoth runs a benchmark on each database.
func benchBoth(b *testing.B, bench func(b *testing.B, s *Store)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, opened(b, quiet(Options{Data: b.TempDir()}))) })
	b.Run("postgres", func(b *testing.B) { bench(b, opened(b, quiet(Options{Database: pgtest.URL(b)}))) })
}

// BenchmarkUpdate is a visitor's message as the inbox writes it, from 32
// callers at once, each waiting for its durable commit.
func BenchmarkUpdate(b *testing.B) {
	benchBoth(b, func(b *testing.B, s *Store) {
		w := newWorld(b, s)
		conversations := make(chan chat.Conversation, 64)
		for i := range cap(conversations) {
			conversations <- w.begin(i%2, fmt.Sprint("Contact ", i))
		}
		b.SetParallelism(16) // of two processors
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			c := <-conversations
			for pb.Next() {
				err := s.Update(b.Context(), w.ws, func(tx *Tx) error {
					if _, err := tx.Contact(c.Contact); err != nil {
						return err
					}
					_, err := appendTo(tx, c.ID, chat.CustomerActor(c.Contact), chat.MessageKindMessage, importText)
					return err
				})
				if err != nil {
					b.Error(err)
				}
			}
			conversations <- c
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// BenchmarkImport is bulk import, in conversations of ten messages.
func BenchmarkImport(b *testing.B) {
	benchBoth(b, func(b *testing.B, s *Store) {
		w := newWorld(b, s)
		b.ResetTimer()
		importSome(b, w, b.N/10+1, 10)
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// BenchmarkRawInsert is the limit beside them: rows of a message's size into a
// SQLite table with the message's two keys, 20,000 to a commit, nothing else.
func BenchmarkRawInsert(b *testing.B) {
	db, err := sql.Open("sqlite3", sqliteDSN(filepath.Join(b.TempDir(), "raw.db"), writerPragmas))
	must(b, err)
	defer func() { must(b, db.Close()) }()
	_, err = db.ExecContext(b.Context(), `create table m (ws blob, conv blob, number integer, id blob, data text, primary key (ws, conv, number)) strict;
		create unique index m_id on m (ws, id)`)
	must(b, err)
	data := fmt.Sprintf("%0600d", 1)
	ws := chat.NewID[chat.Workspace]().Bytes()
	b.ResetTimer()
	for done := 0; done < b.N; {
		tx, err := db.Begin()
		must(b, err)
		insert, err := tx.Prepare(`insert into m values (?, ?, ?, ?, ?)`)
		must(b, err)
		for range min(importBatch, b.N-done) {
			_, err := insert.Exec(ws, chat.NewID[chat.Conversation]().Bytes(), int64(done), chat.NewID[chat.Message]().Bytes(), data)
			must(b, err)
			done++
		}
		must(b, tx.Commit())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkChanges is a page of the log for a reader who sees everything.
func BenchmarkChanges(b *testing.B) {
	benchBoth(b, func(b *testing.B, s *Store) {
		w := newWorld(b, s)
		c := w.begin(0, "Ada")
		w.update(func(tx *Tx) error {
			for range 600 {
				if _, err := appendTo(tx, c.ID, chat.CustomerActor(c.Contact), chat.MessageKindMessage, importText); err != nil {
					return err
				}
			}
			return nil
		})
		b.ResetTimer()
		for range b.N {
			changes, _, _, _, err := s.Changes(b.Context(), w.ws, chat.ViewOf(w.owner), 20, 1000, 0)
			must(b, err)
			if len(changes) != 1000 {
				b.Fatal(len(changes))
			}
		}
	})
}
