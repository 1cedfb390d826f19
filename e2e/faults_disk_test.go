package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"parley/backend/chat"
	"parley/backend/desktop"
	"parley/backend/protocol"
)

// smallDisk is a folder on a disk of a few MiB. Only root may make one; for everybody else the tests of the stores limit
// the size of their databases, which fails in the same way.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("only root may make a small disk")
	}
	if err != nil {
		t.Fatalf("make a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("take the small disk away: %v", err)
		}
	})
	return dir
}

// fill takes all room that is left on a disk; empty gives it back.
func fill(t *testing.T, disk string) (empty func()) {
	t.Helper()
	path := filepath.Join(disk, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for piece := 64 << 10; piece > 0; { // the last pages too
		_, err := f.Write(make([]byte, piece))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			piece /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// long makes a text long, so that a full disk is felt soon.
func long(text string) string { return text + strings.Repeat(" and so on", 900) }

// TestFaultsServerDiskFull fills the server's disk, and kills it while it is full. Nothing that was acknowledged is
// lost; what was not waits, and goes out once there is room.
func TestFaultsServerDiskFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 12<<20)
	srv, emails := staff(t)
	srv.Stop()
	if err := os.CopyFS(filepath.Join(disk, "data"), os.DirFS(srv.Data)); err != nil {
		t.Fatal(err)
	}
	srv.Data = filepath.Join(disk, "data")
	srv.Start()
	e, said := openEngine(t, t.TempDir()), &ledger{}
	e.signInAs(srv.URL(), emails[0], ownerPassword)
	c := begin(e, srv.URL(), srv.Created.Channel.Key, "hello")
	said.accepted("hello")
	send := func(text string) {
		t.Helper()
		e.send(c.id, text, e.thread(c.id, desktop.ThreadQuery{Limit: 1}).Head)
		said.accepted(text)
	}
	for i, kill := range []bool{false, true} {
		empty := fill(t, disk)
		for n := range 8 {
			send(long(fmt.Sprintf("agent-%d-%d", i, n)))
		}
		eventually(t, "a text to be tried in vain", func() bool {
			p := e.thread(c.id, desktop.ThreadQuery{}).Pending
			return len(p) > 0 && p[0].Attempts > 1 && p[0].State != "refused"
		})
		var refused error
		for n := 0; refused == nil && n < 200; n++ { // until what room there was in the files is used up
			text := long(fmt.Sprintf("customer-%d-%d", i, n))
			var sent protocol.VisitorSent
			refused = c.buyer.call(t.Context(), "POST", "/v1/visitor/messages", protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: text}, &sent)
			if refused == nil {
				said.accepted(text)
			}
		}
		if refused == nil || !strings.Contains(refused.Error(), `"unavailable"`) {
			t.Errorf("on a full disk the customer is told: %v", refused)
		}
		if kill {
			srv.Kill()
			empty()
			srv.Start()
		} else {
			empty()
		}
		settle(t, personAt(t, srv.URL(), ownerEmail), said, []talk{c}, e)
	}
	srv.Stop()
	srv.Admin("", "check")
}

// TestFaultsDesktopDiskFull fills the desk's disk, and starts the desk anew while it is full. A text is on disk or its
// author is told at once; what came meanwhile is complete once there is room.
func TestFaultsDesktopDiskFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 12<<20)
	data := filepath.Join(disk, "data")
	u := &lineup{b: newBackend(t), said: &ledger{}}
	u.e = openEngine(t, data)
	u.e.signIn(u.b.url())
	u.talk = u.begin("hello")
	other := u.begin("hello-2")
	talks := []talk{u.talk, other}
	draft := func(e *engine) string {
		t.Helper()
		v, err := e.Conversation(other.id.String())
		if err != nil {
			t.Fatal(err)
		}
		if v.Draft == nil {
			return ""
		}
		return v.Draft.Text
	}
	typed := ""
	for round := range 2 {
		empty := fill(t, disk)
		var refused error
		for n := 0; refused == nil && n < 500; n++ {
			text := long(fmt.Sprintf("draft-%d-%d", round, n))
			if refused = u.e.SaveDraft(other.id.String(), desktop.Draft{Text: text}); refused == nil {
				typed = text
			}
		}
		if refused == nil || !strings.Contains(chat.ErrorMessage(refused), "disk") {
			t.Fatalf("on a full disk the author is told: %v", refused)
		}
		if got := draft(u.e); got != typed {
			t.Errorf("the draft is %.20q, want %.20q", got, typed)
		}
		for n := range 20 {
			text := long(fmt.Sprintf("agent-%d-%d", round, n))
			if _, err := u.e.Send(u.talk.id.String(), desktop.NewMessage{Text: text, Seen: u.e.thread(u.talk.id, desktop.ThreadQuery{Limit: 1}).Head}); err == nil {
				u.said.accepted(text)
			} else if !strings.Contains(chat.ErrorMessage(err), "disk") {
				t.Errorf("on a full disk sending says %v", err)
			}
			u.buyerSays(u.talk, long(fmt.Sprintf("customer-%d-%d", round, n)))
		}
		u.buyerSays(u.talk, fmt.Sprintf("last-%d", round))
		eventually(t, "the window to be told of the disk", func() bool {
			c := u.e.state().Connection
			return c.Status == "error" && c.Problem != nil && strings.Contains(*c.Problem, "disk")
		})
		if round == 0 {
			empty()
			settle(t, u.b.owner(), u.said, talks, u.e)
		} else {
			u.e.close()
			if again, err := desktop.Open(t.Context(), desktop.Options{Data: data, Version: "test", Window: &listener{}, DefaultServer: "none"}); err == nil {
				if err := again.Close(); err != nil {
					t.Error(err)
				}
			} else if !strings.Contains(chat.ErrorMessage(err), "disk") {
				t.Errorf("a start on a full disk says %v", err)
			}
			empty()
			u.e = openEngine(t, data)
			settle(t, u.b.owner(), u.said, talks, u.e)
		}
		if got := draft(u.e); got != typed {
			t.Errorf("afterwards the draft is %.20q, want %.20q", got, typed)
		}
	}
}
