package server_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"parley/backend/protocol"
)

// TestABeatIsNoPromiseWhileTheLogCannotBeRead: a desk takes a beat for the word that nothing is missing up to its head,
// and says so with the time. A server that cannot read what was written says nothing instead, so that the desk gives
// the socket up and asks.
func TestABeatIsNoPromiseWhileTheLogCannotBeRead(t *testing.T) {
	c := onSQLite(t)
	c.Beat = 50 * time.Millisecond
	r := newRig(t, c).unpaced()
	conv, v := r.conversation()
	l := r.join(r.owner.Token, r.head())
	l.want(protocol.FrameBeat)
	db, err := sql.Open("sqlite3", filepath.Join(c.Data, "parley.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(query string) {
		t.Helper()
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	before := l.pos
	exec(`create table kept as select seq, brand_id from change where 0;
		create trigger unreadable after insert on change begin
			insert into kept values (new.seq, new.brand_id); update change set brand_id = x'01' where seq = new.seq; end`)
	v.say("what nobody hears of")

	frames := make(chan frame)
	go func() {
		defer close(frames)
		for {
			f, err := l.read()
			if err != nil {
				return
			}
			select {
			case frames <- f:
			case <-t.Context().Done():
				return
			}
		}
	}()
	for end, quiet := time.After(10*time.Second), false; !quiet; {
		select {
		case f := <-frames:
			if f.Type == protocol.FrameChanges {
				l.packet(f)
			}
		case <-time.After(20 * c.Beat):
			quiet = true
		case <-end:
			t.Fatalf("beats go on at %d, and more was written", l.pos)
		}
	}
	if l.pos != before {
		t.Fatalf("the log could be read up to %d", l.pos)
	}

	exec(`drop trigger unreadable; update change set brand_id = (select brand_id from kept where kept.seq = change.seq) where seq in (select seq from kept)`)
	for heard := false; !heard; {
		f, ok := <-frames
		if !ok {
			t.Fatal("the socket ended")
		}
		if f.Type == protocol.FrameChanges {
			l.packet(f)
		}
		heard = f.Type == protocol.FrameBeat && l.pos > before
	}
	if got := r.thread(conv); got[len(got)-1].Text() != "what nobody hears of" {
		t.Errorf("the thread ends with %+v", got[len(got)-1])
	}
}
