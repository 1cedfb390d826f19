package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/desktop"
)

// TestFaultsRestoredFromABackup puts the server back to an older backup. What it has lost must not vanish without a
// word from the desks that had it: a member's own texts stand at their author's desk as not sent, and go out again
// when the author says so; what was typed stays; and every desk shows what the server has now.
func TestFaultsRestoredFromABackup(t *testing.T) {
	t.Parallel()
	putBack(t, func(srv *Server, backup string) { srv.Admin("", "restore", backup) })
}

// TestFaultsPutBackUnderItsEpoch is the same with a copy of the file, as a snapshot of the machine brings it back:
// nothing but a head that is lower tells that it is another log.
func TestFaultsPutBackUnderItsEpoch(t *testing.T) {
	t.Parallel()
	putBack(t, func(srv *Server, backup string) {
		if err := os.Rename(backup, filepath.Join(srv.Data, "parley.db")); err != nil {
			t.Fatal(err)
		}
	})
}

func putBack(t *testing.T, restore func(srv *Server, backup string)) {
	srv, emails := staff(t)
	said, lost := &ledger{}, []string{}
	line := NewProxy(t, srv.Addr())
	data := t.TempDir()
	maja, ana := openEngine(t, data), openEngine(t, t.TempDir())
	maja.signInAs(line.URL(), emails[0], ownerPassword)
	ana.signInAs(srv.URL(), emails[1], ownerPassword)
	talks := []talk{begin(maja, srv.URL(), srv.Created.Channel.Key, "hello-0"), begin(maja, srv.URL(), srv.Created.Channel.Key, "hello-1")}
	writes := func(e *engine, c talk, text string) {
		t.Helper()
		e.send(c.id, text, e.thread(c.id, desktop.ThreadQuery{Limit: 1}).Head)
		Until(t, text+" to be sent", func() bool { return e.state().Outbox == desktop.OutboxCounts{} })
	}
	writes(maja, talks[0], "kept")
	said.texts = []string{"hello-0", "hello-1", "kept"}
	backup := filepath.Join(t.TempDir(), "backup.db")
	srv.Admin("", "backup", backup)

	// All this the server acknowledges, and forgets.
	for i := range 3 {
		text := fmt.Sprintf("lost-%d", i)
		writes(maja, talks[i%2], text)
		lost = append(lost, text)
	}
	writes(ana, talks[1], "lost-ana")
	if _, err := maja.Comment(talks[1].id.String(), desktop.NewComment{Text: "lost-comment"}); err != nil {
		t.Fatal(err)
	}
	lost = append(lost, "lost-comment")
	young := begin(maja, srv.URL(), srv.Created.Channel.Key, "lost-hello") // its whole conversation goes
	writes(maja, young, "lost-young")
	lost = append(lost, "lost-young")
	Until(t, "everything to be known everywhere", func() bool {
		n, _ := times(maja.thread(talks[1].id, desktop.ThreadQuery{}), "lost-ana")
		return n == 1 && maja.state().Outbox == desktop.OutboxCounts{}
	})
	if err := maja.SaveDraft(talks[0].id.String(), desktop.Draft{Text: "half a sen"}); err != nil {
		t.Fatal(err)
	}
	line.Cut()
	maja.status("offline")
	maja.send(talks[1].id, "queued", maja.thread(talks[1].id, desktop.ThreadQuery{Limit: 1}).Head)
	maja.close()

	srv.Kill()
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(srv.Data, "parley.db"+end)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	restore(srv, backup)
	srv.Start()
	// Somebody goes on before the desks are back: the numbers of lost messages are given away again.
	if err := talks[0].buyer.says(t.Context(), "after"); err != nil {
		t.Fatal(err)
	}
	said.accepted("after")
	line.Restore()
	maja = openEngine(t, data)
	ana.status("live")
	maja.status("live")

	// The texts wait, each once, with a reason; the one that was queued waits behind them.
	unsent := func(e *engine) (texts []string) {
		t.Helper()
		all, err := e.Unsent()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range all {
			texts = append(texts, u.Text)
			if u.Kind != desktop.KindDraft && (u.Problem == nil || u.Problem.Code != chat.CodeReset || !strings.Contains(u.Problem.Detail, "backup")) {
				t.Errorf("%q is not sent, and the reason is %+v", u.Text, u.Problem)
			}
		}
		slices.Sort(texts)
		return texts
	}
	slices.Sort(lost)
	if got := unsent(maja); !slices.Equal(got, lost) {
		t.Fatalf("not sent are %q, want %q", got, lost)
	}
	if got := unsent(ana); !slices.Equal(got, []string{"lost-ana"}) {
		t.Fatalf("Ana's not sent are %q", got)
	}
	restored := func(e *engine) bool {
		return slices.ContainsFunc(e.state().Warnings, func(w desktop.Warning) bool {
			return w.Code == "server_restored" && strings.Contains(w.Message, "5 texts of yours")
		})
	}
	if !restored(maja) {
		t.Errorf("that the server was restored is not told: %+v", maja.state().Warnings)
	}
	if v, err := maja.Conversation(talks[0].id.String()); err != nil || v.Draft == nil || v.Draft.Text != "half a sen" {
		t.Errorf("the draft is %+v, %v", v.Draft, err)
	}
	again := openEngine(t, maja.crash()) // what a crash leaves is the same
	if got := unsent(again); !slices.Equal(got, lost) {
		t.Fatalf("after a crash not sent are %q, want %q", got, lost)
	}
	if !restored(again) {
		t.Errorf("after a crash that the server was restored is not told any more")
	}
	if err := again.DismissWarning("server_restored"); err != nil || restored(again) {
		t.Errorf("what was seen is still told: %v", err)
	}
	again.close()

	// Their author sends what can be sent, and drops what has lost its conversation.
	resend := func(e *engine) {
		t.Helper()
		all, err := e.Unsent()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range all {
			if !u.Reachable {
				if back, err := e.Drop(u.ID); err != nil || back.Text != "lost-young" {
					t.Fatalf("dropped %+v, %v", back, err)
				}
				continue
			}
			if _, err := e.Resend(u.ID, desktop.Resend{Force: true}); err != nil {
				t.Fatal(err)
			}
			said.accepted(u.Text)
		}
	}
	resend(maja)
	eventually(t, "what Maja had queued", func() bool { return maja.state().Outbox == desktop.OutboxCounts{} })
	resend(ana)
	said.accepted("queued")
	for i, text := range said.texts { // a comment is not for customers, and not counted
		if text == "lost-comment" {
			said.texts = slices.Delete(said.texts, i, i+1)
			break
		}
	}
	owner := personAt(t, srv.URL(), ownerEmail)
	settle(t, owner, said, talks, maja, ana)
	comments := 0
	for _, m := range owner.everything(talks[1].id) {
		if m.Kind == chat.MessageKindComment && m.Text() == "lost-comment" {
			comments++
		}
	}
	if comments != 1 {
		t.Errorf("the comment stands %d times", comments)
	}
}

// TestFaultsARestoredServersNumbersAreOthers: what an author had in view when they wrote is a number of the log before;
// in the restored one another message has it, which they have not seen.
func TestFaultsARestoredServersNumbersAreOthers(t *testing.T) {
	srv, emails := staff(t)
	line := NewProxy(t, srv.Addr())
	maja, ana := openEngine(t, t.TempDir()), openEngine(t, t.TempDir())
	maja.signInAs(line.URL(), emails[0], ownerPassword)
	ana.signInAs(srv.URL(), emails[1], ownerPassword)
	c := begin(maja, srv.URL(), srv.Created.Channel.Key, "hello")
	backup := filepath.Join(t.TempDir(), "backup.db")
	srv.Admin("", "backup", backup)
	for _, text := range []string{"lost a", "lost b", "lost c"} {
		if err := c.buyer.says(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	Until(t, "all to be known", func() bool { n, _ := times(maja.thread(c.id, desktop.ThreadQuery{}), "lost c"); return n == 1 })
	line.Cut()
	maja.status("offline")
	maja.send(c.id, "over ana's answer", maja.thread(c.id, desktop.ThreadQuery{Limit: 1}).Head)
	srv.Kill()
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(srv.Data, "parley.db"+end)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	srv.Admin("", "restore", backup)
	srv.Start()
	ana.status("live")
	ana.send(c.id, "ana's answer", ana.thread(c.id, desktop.ThreadQuery{Limit: 1}).Head)
	owner := personAt(t, srv.URL(), ownerEmail)
	Until(t, "Ana's answer", func() bool { return slices.Contains(owner.texts(c.id), "ana's answer") })
	line.Restore()
	maja.status("live")
	eventually(t, "Maja's text to be judged", func() bool {
		s := maja.state().Outbox
		return s == desktop.OutboxCounts{} || s == desktop.OutboxCounts{Refused: 1}
	})
	if got := owner.texts(c.id); slices.Contains(got, "over ana's answer") {
		t.Errorf("a colleague had answered, and it went out all the same: %q", got)
	}
}
