package desktop

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

func warns(t *testing.T, e *Engine, code string) bool {
	t.Helper()
	return slices.ContainsFunc(stateOf(t, e).Warnings, func(w Warning) bool { return w.Code == code })
}

// written brings two chats into the cache of a new account and leaves a draft
// in the first and an unsent text in the second.
func written(t *testing.T, e *Engine, me chat.Member) (account record, drafted, sent chat.ConversationID) {
	t.Helper()
	account = joinAs(t, e, nowhere, me)
	s, brand := current(t, e), chat.NewID[chat.Brand]()
	drafted, sent = cached(t, s, brand), cached(t, s, brand)
	if err := e.SaveDraft(drafted.String(), Draft{Text: "Hippopotamus"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Send(sent.String(), NewMessage{Text: "Rhododendron"}); err != nil {
		t.Fatal(err)
	}
	return account, drafted, sent
}

func draftIn(t *testing.T, e *Engine, c chat.ConversationID) string {
	t.Helper()
	s, err := e.session()
	if err != nil {
		return "" // it is being opened again
	}
	if d := s.draftOf(t.Context(), c); d != nil {
		return d.Text
	}
	return ""
}

// found gives the files below a folder in which one of the words stands.
func found(t *testing.T, dir string, words ...string) (in []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, word := range words {
			if bytes.Contains(data, []byte(word)) {
				in = append(in, path+": "+word)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestALockedKeychainLosesNothingAndHidesNoChat(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	_, drafted, sent := written(t, e, chat.Member{ID: chat.NewID[chat.Member](), Name: "Ana"})
	if in := found(t, dir, "Hippopotamus", "Rhododendron"); len(in) > 0 {
		t.Errorf("what was written stands in %q", in)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	ring.lock(true)
	e = openWith(t, dir, ring)
	if !warns(t, e, "keychain_locked") {
		t.Errorf("warnings %+v", stateOf(t, e).Warnings)
	}
	if _, err := e.Conversation(drafted.String()); err != nil && chat.ErrorCode(err) != chat.CodeNotFound {
		t.Errorf("open a chat: %v", err)
	}
	if page, err := e.List(ListQuery{Limit: 50}); err != nil || len(page.Rows) != 2 {
		t.Fatalf("%d chats are listed, %v", len(page.Rows), err)
	}
	if got := draftIn(t, e, drafted); got != "" {
		t.Errorf("draft %q", got)
	}
	if err := e.SaveDraft(drafted.String(), Draft{Text: "Quetzalcoatl"}); err != nil {
		t.Fatal(err)
	}
	if in := found(t, dir, "Quetzalcoatl"); len(in) > 0 {
		t.Errorf("written while locked, it stands in %q", in)
	}
	ring.lock(false)
	until(t, "the key", func() bool { return !warns(t, e, "keychain_locked") })
	until(t, "both drafts", func() bool { return draftIn(t, e, drafted) == "Hippopotamus\n\nQuetzalcoatl" })
	if waiting := current(t, e).outbox.Snapshot().Of(sent); len(waiting) != 1 || !strings.Contains(string(waiting[0].Args), "Rhododendron") {
		t.Errorf("waiting: %+v", waiting)
	}
}

// TestALockedKeychainHidesWhatOnlyTheServerHasToo: drafts and scheduled messages
// in the cache are sealed as well, and nothing else there is.
func TestALockedKeychainHidesWhatOnlyTheServerHasToo(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	join(t, e, nowhere)
	s := current(t, e)
	conv := cached(t, s, chat.NewID[chat.Brand]())
	later := chat.Scheduled{ID: chat.NewID[chat.Message](), Ver: 8, Conversation: conv, Member: s.me, Parts: []chat.Part{chat.TextPart("Rhododendron")}, SendAt: chat.TimeOf(time.Now().Add(time.Hour))}
	if _, err := s.cache.PutRows(t.Context(), []cache.Row{
		{Kind: chat.EntityDraft, ID: conv.String(), Data: encode(t, chat.Draft{Conversation: conv, Ver: 7, Text: "Hippopotamus"})},
		{Kind: chat.EntityScheduled, ID: later.ID.String(), Data: encode(t, later)},
	}); err != nil {
		t.Fatal(err)
	}
	listed := func() string {
		page, err := e.List(ListQuery{Limit: 50})
		if err != nil || len(page.Rows) != 1 {
			return "" // it is being opened again
		}
		return page.Rows[0].Draft
	}
	planned := func() int {
		s, err := e.session()
		if err != nil {
			return -1
		}
		return len(s.laterNow().scheduled[conv])
	}
	if listed() != "Hippopotamus" || draftIn(t, e, conv) != "Hippopotamus" || planned() != 1 {
		t.Fatalf("listed %q, draft %q, %d planned", listed(), draftIn(t, e, conv), planned())
	}
	if in := found(t, dir, "Hippopotamus", "Rhododendron"); len(in) > 0 {
		t.Errorf("what was written stands in %q", in)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	ring.lock(true)
	e = openWith(t, dir, ring)
	if page, err := e.List(ListQuery{Limit: 50}); err != nil || len(page.Rows) != 1 || page.Rows[0].Draft != "" {
		t.Errorf("locked, the list is %+v, %v", page, err)
	}
	if draftIn(t, e, conv) != "" || planned() != 0 || !warns(t, e, "keychain_locked") {
		t.Errorf("locked: draft %q, %d planned, warnings %+v", draftIn(t, e, conv), planned(), stateOf(t, e).Warnings)
	}
	ring.lock(false)
	until(t, "all of it", func() bool {
		return listed() == "Hippopotamus" && draftIn(t, e, conv) == "Hippopotamus" && planned() == 1
	})
}

func TestALostKeyIsSaidAndAnotherOneMade(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	account, drafted, sent := written(t, e, chat.Member{ID: chat.NewID[chat.Member](), Name: "Ana"})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for name := range ring.kept {
		if strings.HasPrefix(name, "key-"+account.ID) {
			delete(ring.kept, name)
		}
	}
	e = openWith(t, dir, ring)
	if !warns(t, e, "key_lost") {
		t.Errorf("warnings %+v", stateOf(t, e).Warnings)
	}
	if page, err := e.List(ListQuery{Limit: 50}); err != nil || len(page.Rows) != 2 {
		t.Errorf("%d chats are listed, %v", len(page.Rows), err)
	}
	if err := e.SaveDraft(drafted.String(), Draft{Text: "anew"}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openWith(t, dir, ring)
	if got := draftIn(t, e, drafted); got != "anew" || !warns(t, e, "key_lost") || warns(t, e, "keychain_locked") {
		t.Errorf("draft %q, warnings %+v", got, stateOf(t, e).Warnings)
	}
	if waiting := current(t, e).outbox.Snapshot().Of(sent); len(waiting) > 0 {
		t.Errorf("waiting: %+v", waiting)
	}
}

// TestAKeyThatComesBackOpensWhatItSealed: the window says that what was sealed
// for it is kept in case the keychain is restored.
func TestAKeyThatComesBackOpensWhatItSealed(t *testing.T) {
	for name, both := range map[string]bool{"beside the newer one": true, "without the newer one": false} {
		t.Run(name, func(t *testing.T) {
			dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
			e := openWith(t, dir, ring)
			account, drafted, sent := written(t, e, chat.Member{ID: chat.NewID[chat.Member](), Name: "Ana"})
			keys := func() map[string]string {
				ring.mu.Lock()
				defer ring.mu.Unlock()
				taken := map[string]string{}
				for name, secret := range ring.kept {
					if strings.HasPrefix(name, "key-"+account.ID) {
						taken[name] = secret
						delete(ring.kept, name)
					}
				}
				return taken
			}
			again := func() {
				t.Helper()
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				e = openWith(t, dir, ring)
			}
			old := keys()
			again() // with another keychain
			if !warns(t, e, "key_lost") {
				t.Error("nothing is said")
			}
			if err := e.SaveDraft(drafted.String(), Draft{Text: "Quetzalcoatl"}); err != nil {
				t.Fatal(err)
			}
			if !both {
				keys()
			}
			ring.mu.Lock()
			maps.Copy(ring.kept, old)
			ring.mu.Unlock()
			want := "Hippopotamus"
			if both {
				want += "\n\nQuetzalcoatl"
			}
			for range 2 { // and stays open
				again()
				if got := draftIn(t, e, drafted); both && got != want || !both && got != "" {
					t.Errorf("the draft is %q, want %q", got, want)
				}
				if warns(t, e, "key_lost") == both || warns(t, e, "keychain_locked") {
					t.Errorf("warnings %+v", stateOf(t, e).Warnings)
				}
				if waiting := current(t, e).outbox.Snapshot().Of(sent); len(waiting) != 1 || !strings.Contains(string(waiting[0].Args), "Rhododendron") {
					t.Errorf("waiting: %+v", waiting)
				}
			}
		})
	}
}

func TestARevokedDeviceWithNothingUnsentForgetsTheKeyToo(t *testing.T) {
	for _, unsent := range []bool{false, true} {
		dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
		e := openWith(t, dir, ring)
		me := chat.Member{ID: chat.NewID[chat.Member](), Name: "Ana"}
		account := record{}
		if unsent {
			account, _, _ = written(t, e, me)
		} else {
			account = joinAs(t, e, nowhere, me)
		}
		current(t, e).ended(true)
		until(t, "the account to be wiped", func() bool { v := e.view.Load(); return len(v.accounts) == 1 && v.accounts[0].Wiped })
		_, err := os.Stat(filepath.Join(e.folder(account.ID), "local.db"))
		if gone := os.IsNotExist(err); gone == unsent {
			t.Errorf("unsent %v: local.db is gone %v", unsent, gone)
		}
		ring.mu.Lock()
		if want := map[bool]int{true: 1}[unsent]; len(ring.kept) != want {
			t.Errorf("unsent %v: the keychain holds %d secrets, want %d", unsent, len(ring.kept), want)
		}
		ring.mu.Unlock()
		if unsent {
			joinAs(t, e, nowhere, me)
			if st := stateOf(t, e); st.Outbox.Queued != 1 {
				t.Errorf("after coming back %+v waits", st.Outbox)
			}
		}
	}
}

// TestNoWordOfACustomerIsKeptWithWhatWasNotSent: a refusal names messages, and
// local.db outlives the right to read them.
func TestNoWordOfACustomerIsKeptWithWhatWasNotSent(t *testing.T) {
	j, dir, ring := newJudge(t), t.TempDir(), &lockable{kept: map[string]string{}}
	said := chat.Message{ID: chat.NewID[chat.Message](), Ver: 7, Number: 7, Kind: chat.MessageKindMessage,
		Author: chat.CustomerActor(chat.NewID[chat.Contact]()), Parts: []chat.Part{chat.TextPart("MYCARDNUMBERIS4111")}}
	j.refuse(&protocol.Problem{Code: chat.CodeNewerMessages, Detail: "Somebody wrote.", Messages: []chat.Message{said}})
	e := openWith(t, dir, ring)
	r := join(t, e, j.URL)
	conv := cached(t, current(t, e), chat.NewID[chat.Brand]())
	if _, err := e.Send(conv.String(), NewMessage{Text: "MYOWNWORDS"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the refusal", func() bool { return stateOf(t, e).Outbox.Refused == 1 })
	shown := func(words string) {
		t.Helper()
		all, err := e.Unsent()
		if err != nil || len(all) != 1 || len(all[0].Problem.Messages) != 1 {
			t.Fatalf("could not send: %+v %v", all, err)
		}
		if m := all[0].Problem.Messages[0]; m.Text() != words || m.Number != 7 || m.Author != said.Author {
			t.Errorf("the refusal names %+v, want it to say %q", m, words)
		}
	}
	absent := func(when string) {
		t.Helper()
		if in := found(t, e.folder(r.ID), "MYCARDNUMBERIS4111", "MYOWNWORDS"); len(in) > 0 {
			t.Errorf("%s, it stands in %q", when, in)
		}
	}
	shown("MYCARDNUMBERIS4111")
	absent("refused")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	e = openWith(t, dir, ring)
	shown("")
	s := current(t, e)
	said.Conversation = conv
	_, err := s.cache.PutRows(t.Context(), []cache.Row{{Kind: chat.EntityMessage, ID: said.ID.String(), Op: chat.OpPut, Conversation: conv, Data: encode(t, said)}})
	if err != nil {
		t.Fatal(err)
	}
	shown("MYCARDNUMBERIS4111")
	s.ended(true)
	until(t, "the wipe", func() bool { return e.view.Load().accounts[0].Wiped })
	absent("wiped")
}

// TestARefusalInAChatThatWasTakenAwaySaysNothing: its words are not shown beside
// the text that was refused.
func TestARefusalInAChatThatWasTakenAwaySaysNothing(t *testing.T) {
	j := newJudge(t)
	j.refuse(&protocol.Problem{Code: chat.CodeNewerMessages, Messages: []chat.Message{{ID: chat.NewID[chat.Message](), Number: 7, Parts: []chat.Part{chat.TextPart("secret")}}}})
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, j.URL)
	s := current(t, e)
	conv := cached(t, s, chat.NewID[chat.Brand]())
	if _, err := e.Send(conv.String(), NewMessage{Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the refusal", func() bool { return stateOf(t, e).Outbox.Refused == 1 })
	applied, err := s.cache.Apply(t.Context(), 0, 1, []chat.Change{{Seq: 1, Kind: chat.EntityAccess, ID: s.me.String(), Op: chat.OpPut,
		Data: encode(t, chat.Access{Brands: []chat.BrandID{chat.NewID[chat.Brand]()}})}})
	if err != nil {
		t.Fatal(err)
	}
	s.changed(applied)
	all, err := e.Unsent()
	if err != nil || len(all) != 1 || all[0].Text != "hello" || len(all[0].Problem.Messages) != 1 || all[0].Problem.Messages[0].Text() != "" {
		t.Fatalf("could not send: %+v %v", all, err)
	}
}
