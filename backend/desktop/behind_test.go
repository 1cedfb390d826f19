package desktop

import (
	"slices"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// besides gives an account as the menu shows it.
func besides(t *testing.T, e *Engine, id string) Account {
	t.Helper()
	all := stateOf(t, e).Accounts
	i := slices.IndexFunc(all, func(a Account) bool { return a.ID == id })
	if i < 0 {
		t.Fatalf("no account %s", id)
	}
	return all[i]
}

// leftBehind writes a text that the server does not take yet, opens another
// account, and gives the first one with its chat.
func leftBehind(t *testing.T, e *Engine, j *judge) (left, shown record, c chat.ConversationID) {
	t.Helper()
	j.refuse(&protocol.Problem{Code: chat.CodeUnavailable, Detail: "Not now."})
	left = join(t, e, j.URL)
	s := current(t, e)
	until(t, "the line", func() bool { return s.net.Load() != nil })
	c = cached(t, s, chat.NewID[chat.Brand]())
	if _, err := e.Send(c.String(), NewMessage{Text: "hello", Seen: 1}); err != nil {
		t.Fatal(err)
	}
	shown = joinAs(t, e, nowhere, chat.Member{ID: chat.NewID[chat.Member](), Name: "Ben"})
	if shown.ID == left.ID {
		t.Fatal("the other account is not on the screen")
	}
	return left, shown, c
}

// What waits in an account that is not on the screen goes out all the same, and
// the menu says how much that is. After that the account is closed.
func TestTextsOfAnAccountBehindGoOut(t *testing.T) {
	j := newJudge(t)
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	left, _, _ := leftBehind(t, e, j)
	if a := besides(t, e, left.ID); a.Active || a.Outbox.Queued != 1 {
		t.Errorf("beside the account: %+v", a)
	}
	if own := stateOf(t, e).Outbox; own != (OutboxCounts{}) {
		t.Errorf("the account on the screen says %+v", own)
	}
	n := len(j.commands(protocol.MessageSend))
	j.refuse(nil)
	until(t, "the text to go out", func() bool { return len(j.commands(protocol.MessageSend)) > n })
	until(t, "the account to be closed", func() bool { return len(e.view.Load().sessions()) == 1 })
	if a := besides(t, e, left.ID); a.Outbox != (OutboxCounts{}) {
		t.Errorf("it has gone out, and beside the account stands %+v", a.Outbox)
	}
}

// The same after a restart, which opens the account that was open last.
func TestTextsOfAnAccountBehindGoOutAfterARestart(t *testing.T) {
	j, dir, ring := newJudge(t), t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	left, shown, _ := leftBehind(t, e, j)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	n := len(j.commands(protocol.MessageSend))
	e = openWith(t, dir, ring)
	if current(t, e).account.ID != shown.ID || besides(t, e, left.ID).Outbox.Queued != 1 {
		t.Fatalf("after the restart: %+v", stateOf(t, e).Accounts)
	}
	j.refuse(nil)
	until(t, "the text to go out", func() bool { return len(j.commands(protocol.MessageSend)) > n })
	until(t, "the account to be closed", func() bool { return len(e.view.Load().sessions()) == 1 })
}

// Opened again, it is the session that ran behind: never two on one folder.
func TestAnAccountBehindComesBackAsItIs(t *testing.T) {
	j := newJudge(t)
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	left, shown, c := leftBehind(t, e, j)
	before := e.view.Load().sessionOf(left.ID)
	if err := e.SwitchAccount(left.ID); err != nil {
		t.Fatal(err)
	}
	if current(t, e) != before || len(e.view.Load().sessions()) != 1 {
		t.Fatalf("%d sessions, and the one on the screen is new: %v", len(e.view.Load().sessions()), current(t, e) != before)
	}
	if page, err := e.Thread(c.String(), ThreadQuery{Limit: 10}); err != nil || len(page.Pending) != 1 {
		t.Fatalf("what waits: %+v %v", page.Pending, err)
	}
	// Whoever signs in again has another token, which the session behind has not.
	if err := e.SwitchAccount(shown.ID); err != nil {
		t.Fatal(err)
	}
	joinAs(t, e, j.URL, chat.Member{ID: left.Member, Name: "Ana"})
	if now := current(t, e); now.account.ID != left.ID || now == before || len(e.view.Load().sessions()) != 1 {
		t.Fatalf("signed in again: %+v, the old session: %v", now.account, now == before)
	}
	j.refuse(nil)
	until(t, "the text to go out", func() bool { return stateOf(t, e).Outbox.Queued == 0 })
}

// What an account behind has to tell says whose it is: the window shows another.
func TestARefusalBehindSaysWhichAccount(t *testing.T) {
	j := newJudge(t)
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	left, _, c := leftBehind(t, e, j)
	j.refuse(&protocol.Problem{Code: chat.CodeBlocked, Detail: "The contact is blocked."})
	until(t, "the refusal", func() bool { return besides(t, e, left.ID).Outbox.Refused == 1 })
	until(t, "the event", func() bool {
		return slices.ContainsFunc(e.opt.Window.(*ear).take(), func(heard string) bool {
			return strings.HasPrefix(heard, EventUndelivered+" {"+left.ID+" ") && strings.Contains(heard, c.String()) && strings.Contains(heard, "Zoë Fischer")
		})
	})
	until(t, "the account to be closed", func() bool { return len(e.view.Load().sessions()) == 1 })
	if a := besides(t, e, left.ID); a.Outbox.Refused != 1 {
		t.Errorf("closed, beside the account stands %+v", a.Outbox)
	}
}

// A device that is signed out of an account behind forgets that one alone.
func TestAnAccountBehindIsTakenAway(t *testing.T) {
	j := newJudge(t)
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	left, shown, _ := leftBehind(t, e, j)
	s := e.view.Load().sessionOf(left.ID)
	s.ended(true)
	until(t, "the account to go", func() bool { return len(stateOf(t, e).Accounts) == 1 })
	if current(t, e).account.ID != shown.ID || !warns(t, e, "revoked") {
		t.Errorf("on the screen: %+v", current(t, e).account)
	}
	if s.ctx.Err() == nil {
		t.Error("its session goes on")
	}
}
