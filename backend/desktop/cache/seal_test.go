package cache

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/backend/chat"
)

const fixedSecret = "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"

func fixedKey(t testing.TB) Key {
	t.Helper()
	k, err := ParseKey(fixedSecret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newKey(t testing.TB) Key {
	t.Helper()
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// nextStart opens a folder's local.db again, as the next start does.
func nextStart(t *testing.T, l *Local, dir string) *Local {
	t.Helper()
	must(t, l.Close())
	l, err := OpenLocal(dir)
	must(t, err)
	return l
}

func command(n byte, text string) Entry {
	return Entry{ID: id[chat.Command](9, n), Conversation: conversationID(n), Kind: "message.send",
		Body: json.RawMessage(fmt.Sprintf(`{"text":%q}`, text)), Entity: "m", CreatedAt: testNow}
}

// TestCustomersWordsInRefusalsAreForgotten: until version 3 a refusal was kept
// with the messages it names.
func TestCustomersWordsInRefusalsAreForgotten(t *testing.T) {
	list, err := migrations()
	must(t, err)
	long := strings.Repeat("MYCARDNUMBERIS4111 ", 500) // over several pages
	const problem = `{"code":"newer_messages","detail":"Somebody wrote.","messages":[{"id":"01990000-0000-7000-8000-000000000001","ver":9,"number":7,"kind":"message",
		"author":{"kind":"customer","id":"c"},"parts":[{"kind":"text","text":"%s"}],"sent_at":"2026-06-01T00:00:00.000000Z"}]}`
	for version := 1; version <= 3; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			dir := t.TempDir()
			db, err := sql.Open("sqlite3", dsn(filepath.Join(dir, localFile), "_journal_mode", "WAL"))
			must(t, err)
			db.SetMaxOpenConns(1)
			must(t, migrate(db, list[:version]))
			for n, p := range []string{fmt.Sprintf(problem, long), `{"code":"closed"}`, "no JSON at all", fmt.Sprintf(problem, "MYCARDNUMBERIS4111")} {
				_, err = db.Exec(`insert into outbox (id, conversation, kind, entity, body, created_at, state, problem) values (?, ?, 'message.send', 'm', '{}', 1, 'refused', ?)`,
					commandID(byte(n)), conversationID(1), p)
				must(t, err)
			}
			_, err = db.Exec("delete from outbox where id = ?", commandID(3))
			must(t, err)
			key := fixedKey(t)
			if version == 3 {
				_, err = db.Exec("insert into seal (key, public, swept) values (?, ?, 1)", key.ID(), key.private.PublicKey().Bytes())
				must(t, err)
			}
			must(t, db.Close())

			l, err := OpenLocal(dir)
			must(t, err)
			if version < 3 {
				must(t, l.Seal(t.Context(), key))
			}
			if in := inFiles(t, dir, "MYCARDNUMBERIS4111"); len(in) > 0 {
				t.Errorf("it stands in %q", in)
			}
			kept, err := readLocal(t.Context(), l, "read problems", "select problem from outbox order by n", nil, scan1[string])
			must(t, err)
			want := []string{`{"code":"newer_messages","detail":"Somebody wrote.","messages":[{"parts":[],"id":"01990000-0000-7000-8000-000000000001","ver":9,"number":7,"kind":"message",` +
				`"author":{"kind":"customer","id":"c"},"sent_at":"2026-06-01T00:00:00.000000Z"}]}`, `{"code":"closed"}`, "no JSON at all"}
			if !slices.Equal(kept, want) {
				t.Errorf("kept %q", kept)
			}
			must(t, l.Close())
		})
	}
}

// inFiles gives those of the words that stand in any file of a folder.
func inFiles(t *testing.T, dir string, words ...string) (found []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		must(t, err)
		for _, word := range words {
			if bytes.Contains(data, []byte(word)) {
				found = append(found, f.Name()+": "+word)
			}
		}
	}
	return found
}

func texts(t *testing.T, l *Local) string {
	t.Helper()
	var out []string
	all, err := l.Outbox(t.Context())
	must(t, err)
	for _, e := range all {
		out = append(out, string(e.Body))
	}
	drafts, err := l.Drafts(t.Context())
	must(t, err)
	for _, d := range drafts {
		out = append(out, d.Text)
	}
	return strings.Join(out, "|")
}

func unreadable(t *testing.T, l *Local, want int) {
	t.Helper()
	if n, err := l.Unreadable(t.Context()); err != nil || n != want {
		t.Errorf("%d texts are unreadable (%v), want %d", n, err, want)
	}
}

// TestWordsAreNotInTheFile looks for them in the bytes: those from before there
// was a key, and those since.
func TestWordsAreNotInTheFile(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLocal(dir)
	must(t, err)
	words := []string{"Hippopotamus", "Rhododendron", "Quetzalcoatl", "Zwetschgenkuchen", "Axolotl"}
	_, err = l.Enqueue(t.Context(), command(1, words[0]))
	must(t, err)
	must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(2), Text: words[1], UpdatedAt: testNow}))
	must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(3), Text: words[4] + strings.Repeat(" and so on", 2000), UpdatedAt: testNow + 2}))
	must(t, l.DropDraft(t.Context(), conversationID(3)))
	if found := inFiles(t, dir, words...); len(found) < 2 {
		t.Fatalf("without a key only %q is found: this test cannot fail", found)
	}
	key := newKey(t)
	must(t, l.Seal(t.Context(), key))
	if found := inFiles(t, dir, words...); len(found) > 0 {
		t.Errorf("after sealing %q is in the files", found)
	}
	_, err = l.Enqueue(t.Context(), command(3, words[2]))
	must(t, err)
	must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(4), Text: words[3], UpdatedAt: testNow + 1}))
	const want = `{"text":"Hippopotamus"}|{"text":"Quetzalcoatl"}|Zwetschgenkuchen|Rhododendron`
	if got := texts(t, l); got != want {
		t.Errorf("read %s", got)
	}
	if found := inFiles(t, dir, words...); len(found) > 0 {
		t.Errorf("written later, %q is in the files", found)
	}
	l = nextStart(t, l, dir)
	defer func() { must(t, l.Close()) }()
	if found := inFiles(t, dir, words...); len(found) > 0 {
		t.Errorf("after closing %q is in the files", found)
	}
	if got := texts(t, l); got != "" || l.SealedFor() != key.ID() {
		t.Errorf("without the key %q was read; sealed for %s", got, l.SealedFor())
	}
	unreadable(t, l, 4)
	if err := l.Unlock(t.Context(), newKey(t)); chat.ErrorCode(err) != chat.CodeConflict {
		t.Errorf("another key: %v", err)
	}
	secret, err := key.Secret()
	must(t, err)
	again, err := ParseKey(secret)
	must(t, err)
	must(t, l.Unlock(t.Context(), again))
	unreadable(t, l, 0)
	if got := texts(t, l); got != want {
		t.Errorf("with the key %s was read", got)
	}
}

// TestTextIsBoundToItsRow exchanges the texts of two rows.
func TestTextIsBoundToItsRow(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLocal(dir)
	must(t, err)
	defer func() { must(t, l.Close()) }()
	must(t, l.Seal(t.Context(), newKey(t)))
	for n := range byte(2) {
		must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(n + 1), Text: "to " + fmt.Sprint(n), UpdatedAt: testNow}))
	}
	_, err = l.db.Exec(`update draft set text = (select text from draft o where o.conversation <> draft.conversation) where conversation = ?`, conversationID(1))
	must(t, err)
	if d, ok, err := l.Draft(t.Context(), conversationID(1)); ok || err != nil {
		t.Errorf("a draft of another chat was read: %+v, %v", d, err)
	}
	unreadable(t, l, 1)
}

// TestLockedKeychainLosesNoText writes, over what cannot be read, while the key
// does not come.
func TestLockedKeychainLosesNoText(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLocal(dir)
	must(t, err)
	key := newKey(t)
	must(t, l.Seal(t.Context(), key))
	for n := range byte(4) {
		must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(n), Text: fmt.Sprintf("old %d", n), UpdatedAt: testNow + chat.Time(n)}))
	}
	_, err = l.Enqueue(t.Context(), command(1, "waiting"))
	must(t, err)

	l = nextStart(t, l, dir) // locked
	for _, text := range []string{"n", "ne", "new"} {
		must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(1), Text: text, UpdatedAt: testNow + 10}))
	}
	must(t, l.DropDraft(t.Context(), conversationID(2)))
	_, err = l.EnqueueSend(t.Context(), command(3, "sent"))
	must(t, err)
	if got := texts(t, l); got != `{"text":"sent"}|new|` { // and the emptied draft of what was sent
		t.Errorf("while locked %s was read", got)
	}
	unreadable(t, l, 5)

	l = nextStart(t, l, dir) // still locked, after a crash
	must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(1), Text: "newer", UpdatedAt: testNow + 20}))
	must(t, l.Unlock(t.Context(), key))
	want := `{"text":"waiting"}|{"text":"sent"}|` + "old 1\n\nnew\n\nnewer|old 2|old 3|old 0"
	if got := texts(t, l); got != want {
		t.Errorf("with the key %q was read, want %q", got, want)
	}
	l = nextStart(t, l, dir)
	defer func() { must(t, l.Close()) }()
	must(t, l.Unlock(t.Context(), key))
	if got := texts(t, l); got != want {
		t.Errorf("later %q was read", got)
	}
	unreadable(t, l, 0)
}

// TestLostKeyKeepsWhatItCan begins with another key: what was written for the
// lost one stays in the file, what was written in this run stays readable.
func TestLostKeyKeepsWhatItCan(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLocal(dir)
	must(t, err)
	lost, key := newKey(t), newKey(t)
	must(t, l.Seal(t.Context(), lost))
	must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(1), Text: "lost", UpdatedAt: testNow}))
	l = nextStart(t, l, dir)
	must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(2), Text: "believed", UpdatedAt: testNow + 1}))
	_, err = l.Enqueue(t.Context(), command(2, "believed"))
	must(t, err)
	must(t, l.Seal(t.Context(), key))
	must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(1), Text: "anew", UpdatedAt: testNow + 2}))
	l = nextStart(t, l, dir)
	defer func() { must(t, l.Close()) }()
	must(t, l.Unlock(t.Context(), key))
	if got := texts(t, l); got != `{"text":"believed"}|anew|believed` {
		t.Errorf("%s was read", got)
	}
	unreadable(t, l, 1)
	if empty, err := l.Empty(t.Context()); empty || err != nil {
		t.Errorf("empty %v, %v", empty, err)
	}
}

// TestKeysComeAndGo opens a file by turns with two keychains, each of which has
// one key: none makes the other's texts unreadable for good.
func TestKeysComeAndGo(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLocal(dir)
	must(t, err)
	home, travel := newKey(t), newKey(t)
	must(t, l.Seal(t.Context(), home))
	_, err = l.Enqueue(t.Context(), command(1, "home"))
	must(t, err)
	must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(1), Text: "old", UpdatedAt: testNow}))
	for n, at := range []struct {
		key   Key
		reads string
	}{{travel, `{"text":"travel"}|new`}, {home, `{"text":"home"}|{"text":"believed"}`}, {travel, `{"text":"travel"}|new`}} {
		l = nextStart(t, l, dir)
		if n == 1 {
			_, err = l.Enqueue(t.Context(), command(3, "believed")) // before the keychain has answered
			must(t, err)
		}
		must(t, l.Seal(t.Context(), at.key))
		if n == 0 {
			_, err = l.Enqueue(t.Context(), command(2, "travel"))
			must(t, err)
			must(t, l.PutDraft(t.Context(), Draft{Conversation: conversationID(1), Text: "new", UpdatedAt: testNow + 1}))
		}
		if got := texts(t, l); got != at.reads {
			t.Errorf("start %d: %s was read, want %s", n, got, at.reads)
		}
		if keys, err := l.Keys(t.Context()); err != nil || len(keys) != 2 || keys[0] != at.key.ID() || l.SealedFor() != keys[0] {
			t.Errorf("start %d: keys %q, sealed for %s, %v", n, keys, l.SealedFor(), err)
		}
	}
	const all = `{"text":"home"}|{"text":"travel"}|{"text":"believed"}|` + "old\n\nnew"
	l = nextStart(t, l, dir)
	must(t, l.Unlock(t.Context(), travel, home))
	if got := texts(t, l); got != all {
		t.Errorf("with both keys %q was read", got)
	}
	l = nextStart(t, l, dir)
	defer func() { must(t, l.Close()) }()
	must(t, l.Unlock(t.Context(), travel))
	if got := texts(t, l); got != all {
		t.Errorf("it was not sealed for one key: %q was read", got)
	}
	unreadable(t, l, 0)
}

const sealedWord = "Zwetschgenkuchen"

func writeOpen(t *testing.T, dir string) {
	t.Helper()
	l, err := OpenLocal(dir)
	must(t, err)
	for n := range byte(100) {
		_, err := l.Enqueue(t.Context(), command(n, sealedWord))
		must(t, err)
	}
	must(t, l.Close())
}

func checkSealed(t *testing.T, dir string, key Key) (sealed bool) {
	t.Helper()
	l, err := OpenLocal(dir)
	must(t, err)
	defer func() { must(t, l.Close()) }()
	if sealed = l.SealedFor() != ""; sealed {
		must(t, l.Unlock(t.Context(), key))
		if found := inFiles(t, dir, sealedWord); len(found) > 0 {
			t.Errorf("%q is in the files", found)
		}
	}
	if got := strings.Count(texts(t, l), sealedWord); got != 100 {
		t.Errorf("%d of 100 texts are left; sealed %v", got, sealed)
	}
	return sealed
}

// TestSealingIsFinishedAfterACrash ends between the two steps.
func TestSealingIsFinishedAfterACrash(t *testing.T) {
	dir, key := t.TempDir(), fixedKey(t)
	writeOpen(t, dir)
	l, err := OpenLocal(dir)
	must(t, err)
	must(t, l.Seal(t.Context(), key))
	_, err = l.db.Exec("pragma secure_delete=0; update seal set swept = 0; create table junk (t); insert into junk values ('" + sealedWord + "'); delete from junk")
	must(t, err)
	must(t, l.Close())
	if found := inFiles(t, dir, sealedWord); len(found) == 0 {
		t.Error("nothing is left to be overwritten: this test cannot fail")
	}
	if !checkSealed(t, dir, key) {
		t.Error("not sealed")
	}
}

// sealAloud seals, and talks meanwhile so that it can be killed anywhere.
func sealAloud(dir string) error {
	l, err := OpenLocal(dir)
	if err != nil {
		return err
	}
	go func() {
		for n := 0; ; n++ {
			fmt.Println("queued", n)
		}
	}()
	key, err := ParseKey(fixedSecret)
	if err == nil {
		err = l.Seal(context.Background(), key)
	}
	if err != nil {
		return err
	}
	select {}
}

// TestKilledWhileSealing kills a process that seals what lay open.
func TestKilledWhileSealing(t *testing.T) {
	both := map[bool]int{}
	for round := range 8 {
		dir := t.TempDir()
		writeOpen(t, dir)
		writeAndKill(t, dir, "seal", 1<<(2*round+3))
		both[checkSealed(t, dir, fixedKey(t))]++
	}
	t.Logf("%d times sealed, %d times not yet", both[true], both[false])
}

// BenchmarkKeepSealedDraft is what a key press costs on the disk; the raw figure
// is the same write of an open text.
func BenchmarkKeepSealedDraft(b *testing.B) {
	for _, sealed := range []bool{false, true} {
		b.Run(map[bool]string{false: "raw", true: "sealed"}[sealed], func(b *testing.B) {
			l, err := OpenLocal(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			if sealed {
				if err := l.Seal(b.Context(), newKey(b)); err != nil {
					b.Fatal(err)
				}
			}
			text := strings.Repeat("Where is my order? ", 10)
			for n := 0; b.Loop(); n++ {
				if err := l.PutDraft(b.Context(), Draft{Conversation: conversationID(1), Text: text, UpdatedAt: chat.Time(n)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
