package cache

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/mattn/go-sqlite3"

	"parley/backend/chat"
)

func openLocalFor(t *testing.T, dir string) *Local {
	t.Helper()
	l, err := OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

func commandID(n byte) chat.CommandID { return id[chat.Command](9, n) }

func entry(n byte, conv byte, kind string) Entry {
	e := Entry{ID: commandID(n), Kind: kind, Body: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)), Entity: "e" + strconv.Itoa(int(n)), CreatedAt: testNow}
	if conv > 0 {
		e.Conversation = conversationID(conv)
	}
	return e
}

func enqueue(t *testing.T, l *Local, e Entry) Entry {
	t.Helper()
	got, err := l.Enqueue(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// line shows entries as their command numbers.
func line(t *testing.T, entries []Entry, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%d%s ", e.ID[15], e.State[:1])
	}
	return strings.TrimSpace(b.String())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOutboxIsOneLinePerConversation(t *testing.T) {
	l, ctx := openLocalFor(t, t.TempDir()), t.Context()
	seen := int64(41)
	first := entry(1, 1, "message.send")
	first.Seen = &seen
	first = enqueue(t, l, first)
	enqueue(t, l, entry(2, 1, "message.send"))
	enqueue(t, l, entry(3, 2, "message.send"))
	enqueue(t, l, entry(4, 0, "me.put"))
	enqueue(t, l, entry(5, 0, "me.put"))

	ready := func() string { e, err := l.Ready(ctx, testNow, 10); return line(t, e, err) }
	if got := ready(); got != "1q 3q 4q" {
		t.Errorf("ready %s", got)
	}
	must(t, l.MarkSending(ctx, commandID(1), commandID(4)))
	if got := ready(); got != "3q" {
		t.Errorf("while 1 and 4 are being sent: %s", got)
	}
	must(t, l.MarkQueued(ctx, commandID(1), testNow+10))
	if got := ready(); got != "3q" {
		t.Errorf("1 waits, and 2 behind it: %s", got)
	}
	if at, ok, err := l.NextAt(ctx); err != nil || !ok || at != 0 {
		t.Errorf("next at %d, %v, %v", at, ok, err)
	}
	must(t, l.Remove(ctx, commandID(3), commandID(4), commandID(5)))
	if at, ok, err := l.NextAt(ctx); err != nil || !ok || at != testNow+10 {
		t.Errorf("next at %d, %v, %v", at, ok, err)
	}
	must(t, l.MarkRefused(ctx, commandID(1), json.RawMessage(`{"code":"newer_messages"}`)))
	if got := ready(); got != "2q" {
		t.Errorf("a refused one holds nobody up: %s", got)
	}
	e, err := l.Entry(ctx, commandID(1))
	if err != nil || e.N != first.N || *e.Seen != 41 || e.Attempts != 1 || string(e.Problem) != `{"code":"newer_messages"}` || string(e.Body) != `{"n":1}` || e.Entity != "e1" || e.CreatedAt != testNow {
		t.Errorf("entry %+v, %v", e, err)
	}

	again := entry(6, 1, "message.send")
	again.ElapsedMS = 77
	got, err := l.Requeue(ctx, commandID(1), again)
	if err != nil || got.N != first.N || got.State != StateQueued {
		t.Errorf("requeued %+v, %v", got, err)
	}
	pending, err := l.Pending(ctx, conversationID(1))
	if line(t, pending, err) != "6q 2q" || pending[0].ElapsedMS != 77 || pending[0].Problem != nil {
		t.Errorf("pending %+v", pending)
	}
	if _, err := l.Requeue(ctx, commandID(1), entry(7, 1, "x")); chat.ErrorCode(err) != chat.CodeNotFound {
		t.Errorf("requeue of what is gone: %v", err)
	}
	must(t, l.AddElapsed(ctx, 5))
	must(t, l.AddElapsed(ctx, 2, commandID(6)))
	if e, err := l.Entry(ctx, commandID(6)); err != nil || e.ElapsedMS != 84 {
		t.Errorf("elapsed %d, %v", e.ElapsedMS, err)
	}
	n, err := l.RefuseConversations(ctx, []chat.ConversationID{conversationID(1), conversationID(8)}, json.RawMessage(`{}`))
	queued, refused, err2 := l.OutboxCounts(ctx)
	if n != 2 || err != nil || queued != 0 || refused != 2 || err2 != nil {
		t.Errorf("refused %d, %v; counts %d %d %v", n, err, queued, refused, err2)
	}
	if _, err := l.Enqueue(ctx, entry(6, 1, "message.send")); err == nil {
		t.Error("the same command id twice")
	}
	all, err := l.Outbox(ctx)
	if got := line(t, all, err); got != "6r 2r" {
		t.Errorf("outbox %s", got)
	}
}

func TestOnlyTheLatestReadCounts(t *testing.T) {
	l, ctx := openLocalFor(t, t.TempDir()), t.Context()
	for _, e := range []Entry{entry(1, 1, "conversation.read"), entry(2, 1, "message.send"), entry(3, 2, "conversation.read"), entry(4, 0, "me.put")} {
		enqueue(t, l, e)
	}
	must(t, l.MarkSending(ctx, commandID(1)))
	for n := byte(5); n < 8; n++ {
		if _, err := l.EnqueueLatest(ctx, entry(n, 1, "conversation.read")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.EnqueueLatest(ctx, entry(8, 0, "me.put")); err != nil {
		t.Fatal(err)
	}
	all, err := l.Outbox(ctx)
	if got := line(t, all, err); got != "1s 2q 3q 7q 8q" {
		t.Errorf("outbox %s", got)
	}
}

func TestSendTakesTheDraft(t *testing.T) {
	dir := t.TempDir()
	l, ctx := openLocalFor(t, dir), t.Context()
	d := Draft{Conversation: conversationID(1), Text: "Dear Ána\u200f 👋", Comment: true, UpdatedAt: testNow}
	must(t, l.PutDraft(ctx, d))
	must(t, l.PutDraft(ctx, Draft{Conversation: conversationID(2), Text: "x", UpdatedAt: testNow - 1}))
	must(t, l.MarkDraftSynced(ctx, conversationID(1), testNow-5)) // of an older text
	if got, ok, err := l.Draft(ctx, conversationID(1)); err != nil || !ok || got != d {
		t.Errorf("draft %+v, %v, %v", got, ok, err)
	}
	must(t, l.MarkDraftSynced(ctx, conversationID(1), testNow))
	if all, err := l.Drafts(ctx); err != nil || len(all) != 2 || !all[0].Synced || all[1].Synced {
		t.Errorf("drafts %+v, %v", all, err)
	}
	if _, err := l.EnqueueSend(ctx, entry(1, 1, "message.send")); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := l.Draft(ctx, conversationID(1)); !ok || got.Text != "" || got.Synced || err != nil {
		t.Errorf("the draft is not emptied: %+v, %v, %v", got, ok, err)
	}
	must(t, l.DropDraft(ctx, conversationID(1)))
	must(t, l.DropDraft(ctx, conversationID(2)))
	if all, err := l.Drafts(ctx); err != nil || len(all) != 0 {
		t.Errorf("drafts %+v, %v", all, err)
	}
}

func TestSettings(t *testing.T) {
	l, ctx := openLocalFor(t, t.TempDir()), t.Context()
	must(t, l.PutSetting(ctx, "window.width", json.RawMessage(`900`)))
	must(t, l.PutSetting(ctx, "window.width", json.RawMessage(`1200`)))
	must(t, l.PutSetting(ctx, "window_%", json.RawMessage(`{"a":"é"}`)))
	if v, ok, err := l.Setting(ctx, "window.width"); err != nil || !ok || string(v) != "1200" {
		t.Errorf("setting %s, %v, %v", v, ok, err)
	}
	if _, ok, err := l.Setting(ctx, "theme"); ok || err != nil {
		t.Errorf("unset: %v, %v", ok, err)
	}
	if all, err := l.Settings(ctx, "window."); err != nil || len(all) != 1 {
		t.Errorf("settings %v, %v", all, err)
	}
	must(t, l.DropSetting(ctx, "window.width"))
	if all, err := l.Settings(ctx, ""); err != nil || len(all) != 1 {
		t.Errorf("settings %v, %v", all, err)
	}
	if err := l.PutSetting(ctx, "x", json.RawMessage(`{`)); chat.ErrorCode(err) != chat.CodeInvalid {
		t.Errorf("not JSON: %v", err)
	}
}

func TestReopeningQueuesWhatWasBeingSent(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	enqueue(t, l, entry(1, 1, "message.send"))
	enqueue(t, l, entry(2, 2, "message.send"))
	must(t, l.MarkSending(t.Context(), commandID(1)))
	must(t, l.MarkRefused(t.Context(), commandID(2), json.RawMessage(`{}`)))
	must(t, l.Close())
	all, err := openLocalFor(t, dir).Outbox(t.Context())
	if got := line(t, all, err); got != "1q 2r" {
		t.Errorf("outbox %s", got)
	}
}

// TestUnusableLocalIsLeftAlone: whatever is not ours to change stays byte for
// byte, and no file appears beside it but the lock.
func TestUnusableLocalIsLeftAlone(t *testing.T) {
	used := func(t *testing.T, dir string) {
		l, err := OpenLocal(dir)
		if err != nil {
			t.Fatal(err)
		}
		for n := range byte(200) {
			e := entry(n, 1+n%5, "message.send")
			e.Body = json.RawMessage(`"` + strings.Repeat("y", 500) + `"`)
			enqueue(t, l, e)
		}
		must(t, l.Close())
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir, path string)
		says  string
	}{
		"text":        {func(t *testing.T, dir, path string) { write(t, path, []byte("my diary\n")) }, "belongs to another program"},
		"zeros":       {func(t *testing.T, dir, path string) { write(t, path, make([]byte, 8192)) }, "belongs to another program"},
		"foreign":     {func(t *testing.T, dir, path string) { foreignDB(t, path) }, "belongs to another program"},
		"foreign app": {func(t *testing.T, dir, path string) { foreignDB(t, path, "pragma application_id=77") }, "belongs to another program"},
		"foreign in a log": {func(t *testing.T, dir, path string) {
			foreignDB(t, path, "pragma journal_mode=wal", "insert into diary values ('more')")
		}, "belongs to another program"},
		"cut off": {func(t *testing.T, dir, path string) {
			used(t, dir)
			must(t, os.Truncate(path, 20_000))
		}, "is damaged"},
		"almost nothing left": {func(t *testing.T, dir, path string) {
			used(t, dir)
			must(t, os.Truncate(path, 50))
		}, "is damaged"},
		"spoiled inside": {func(t *testing.T, dir, path string) {
			used(t, dir)
			overwrite(t, path, 24_576, 4096)
		}, "is damaged"},
		"newer": {func(t *testing.T, dir, path string) {
			used(t, dir)
			db, err := sql.Open("sqlite3", dsn(path))
			must(t, err)
			_, err = db.Exec("pragma user_version=99")
			must(t, err)
			must(t, db.Close())
		}, "newer version"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, localFile)
			c.spoil(t, dir, path)
			before := readAll(t, path)
			l, err := OpenLocal(dir)
			if err == nil {
				t.Fatal("opened", l.Close())
			}
			if chat.ErrorCode(err) != chat.CodeConflict || !strings.Contains(chat.ErrorMessage(err), c.says) || !strings.Contains(chat.ErrorMessage(err), path) {
				t.Errorf("said %q (%s)", chat.ErrorMessage(err), chat.ErrorCode(err))
			}
			if !bytes.Equal(before, readAll(t, path)) {
				t.Error("the file was changed")
			}
			entries, err := os.ReadDir(dir)
			must(t, err)
			for _, e := range entries {
				if e.Name() != localFile && e.Name() != "local.lock" {
					t.Errorf("%s appeared", e.Name())
				}
			}
		})
	}
}

// TestMigratesFromEveryVersion opens a file as each released version left it.
// What those versions wrote is written here in their own words, never changed.
func TestMigratesFromEveryVersion(t *testing.T) {
	list, err := migrations()
	must(t, err)
	const rows = `insert into outbox (id, conversation, kind, entity, body, seen, created_at, state, problem, attempts, next_at)
			values (x'01090000000070008000000000000001', x'01030000000070008000000000000001', 'message.send', 'm', '{"text":"hi"}', 7, 1780000000000000, 'sending', null, 2, 5);
		insert into draft (conversation, text, comment, updated_at, synced) values (x'01030000000070008000000000000002', 'Dear', 1, 1780000000000000, 0);
		insert into setting values ('theme', '"dark"')`
	for version := 1; version <= len(list); version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			dir := t.TempDir()
			db, err := sql.Open("sqlite3", dsn(filepath.Join(dir, localFile), "_journal_mode", "WAL"))
			must(t, err)
			db.SetMaxOpenConns(1)
			must(t, migrate(db, list[:version]))
			_, err = db.Exec(rows)
			must(t, err)
			must(t, db.Close())

			l := openLocalFor(t, dir)
			all, err := l.Outbox(t.Context())
			if got := line(t, all, err); got != "1q" || string(all[0].Body) != `{"text":"hi"}` || *all[0].Seen != 7 || all[0].Attempts != 2 || all[0].ElapsedMS != 0 {
				t.Errorf("outbox %+v", all)
			}
			if d, ok, err := l.Draft(t.Context(), conversationID(2)); err != nil || !ok || d.Text != "Dear" || !d.Comment {
				t.Errorf("draft %+v, %v, %v", d, ok, err)
			}
			if v, ok, err := l.Setting(t.Context(), "theme"); err != nil || !ok || string(v) != `"dark"` {
				t.Errorf("setting %s, %v, %v", v, ok, err)
			}
		})
	}
}

func TestLocalOnAFullDisk(t *testing.T) {
	l, ctx := openLocalFor(t, t.TempDir()), t.Context()
	must(t, l.PutDraft(ctx, Draft{Conversation: conversationID(1), Text: "kept", UpdatedAt: 1}))
	var pages int
	must(t, l.db.QueryRow("pragma page_count").Scan(&pages))
	_, err := l.db.Exec(fmt.Sprintf("pragma max_page_count=%d", pages))
	must(t, err)
	e := entry(1, 1, "message.send")
	e.Body = json.RawMessage(`"` + strings.Repeat("z", 200<<10) + `"`)
	if _, err := l.EnqueueSend(ctx, e); chat.ErrorCode(err) != chat.CodeUnavailable || !strings.Contains(chat.ErrorMessage(err), "disk is full") {
		t.Errorf("on a full disk: %v", err)
	}
	if d, ok, err := l.Draft(ctx, conversationID(1)); err != nil || !ok || d.Text != "kept" {
		t.Errorf("the draft after a send that failed: %+v, %v, %v", d, ok, err)
	}
}

// writeForEver enqueues and drafts without end and says each time what is safe.
func writeForEver(dir string) error {
	ctx := context.Background()
	l, err := OpenLocal(dir)
	if err != nil {
		return err
	}
	start, err := l.Outbox(ctx)
	if err != nil {
		return err
	}
	conv := conversationID(1)
	for n := len(start) + 1; ; n++ {
		text := fmt.Sprintf("text %d", n)
		if err := l.PutDraft(ctx, Draft{Conversation: conv, Text: text, UpdatedAt: chat.Time(n)}); err != nil {
			return err
		}
		fmt.Println("draft", n)
		body, err := json.Marshal(text)
		if err != nil {
			return err
		}
		if _, err := l.EnqueueSend(ctx, Entry{ID: chat.NewID[chat.Command](), Conversation: conv, Kind: "message.send", Body: body}); err != nil {
			return err
		}
		fmt.Println("queued", n)
	}
}

// TestKilledInTheMiddleOfWrites kills a writing process again and again:
// whatever it said was safe is there, once and in order.
func TestKilledInTheMiddleOfWrites(t *testing.T) {
	dir := t.TempDir()
	for round := range 8 {
		drafted, queued := writeAndKill(t, dir, "write for ever", 3+round*7)
		l, err := OpenLocal(dir)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		all, err := l.Outbox(t.Context())
		must(t, err)
		if len(all) < queued {
			t.Errorf("round %d: %d in the outbox, but %d were said to be safe", round, len(all), queued)
		}
		for i, e := range all {
			if want := fmt.Sprintf(`"text %d"`, i+1); string(e.Body) != want {
				t.Fatalf("round %d: entry %d holds %s, want %s", round, i, e.Body, want)
			}
		}
		d, ok, err := l.Draft(t.Context(), conversationID(1))
		must(t, err)
		if drafted > len(all) && (!ok || d.Text != fmt.Sprintf("text %d", drafted)) {
			t.Errorf("round %d: draft %d was said to be safe; there is %v %q", round, drafted, ok, d.Text)
		}
		if ok && d.Text != "" && d.UpdatedAt <= chat.Time(len(all)) {
			t.Errorf("round %d: draft %d is there although it was sent", round, d.UpdatedAt)
		}
		must(t, l.Close())
	}
}

// writeAndKill lets a process write until it has said so some times, kills it,
// and gives the highest numbers it said were safe.
func writeAndKill(t *testing.T, dir, what string, lines int) (drafted, queued int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ {
		which, number, ok := strings.Cut(scanner.Text(), " ")
		at, err := strconv.Atoi(number)
		if !ok || err != nil {
			t.Fatalf("the other process said %q", scanner.Text())
		}
		if which == "draft" {
			drafted = at
		} else {
			queued = at
		}
		if n == lines {
			must(t, cmd.Process.Kill()) // SIGKILL; what it still said is read on
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	return drafted, queued
}

// TestAFullDiskIsNoDamage has the errors that a check ended with on a disk with
// hardly any space left.
func TestAFullDiskIsNoDamage(t *testing.T) {
	for _, c := range []struct {
		err  error
		says string
	}{
		{sqlite3.Error{Code: sqlite3.ErrFull}, "disk is full"},
		{sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.ENOSPC}, "disk is full"},
		{&os.PathError{Op: "write", Err: syscall.ENOSPC}, "disk is full"},
		{sqlite3.Error{Code: sqlite3.ErrIoErr}, "cannot be used right now"},
		{sqlite3.Error{Code: sqlite3.ErrCorrupt}, "is damaged"},
		{sqlite3.Error{Code: sqlite3.ErrNotADB}, "is damaged"},
	} {
		if got := chat.ErrorMessage(unreadLocal("local.db", c.err)); !strings.Contains(got, c.says) {
			t.Errorf("%v: said %q, wanted %q", c.err, got, c.says)
		}
	}
}

func TestDamageOfLocalMetLaterPromisesNothing(t *testing.T) {
	dir := t.TempDir()
	l, ctx := openLocalFor(t, dir), t.Context()
	for n := range byte(100) {
		must(t, l.PutDraft(ctx, Draft{Conversation: conversationID(n), Text: strings.Repeat("z", 1000), UpdatedAt: 1}))
	}
	// Into the file, and out of SQLite's memory.
	_, err := l.db.Exec("pragma wal_checkpoint(truncate); pragma shrink_memory")
	must(t, err)
	overwrite(t, filepath.Join(dir, localFile), 8192, 100_000)
	_, err = l.Drafts(ctx)
	if said := chat.ErrorMessage(err); !strings.Contains(said, l.path+" is damaged") || strings.Contains(said, "from the server") {
		t.Fatalf("said %q", said)
	}
}
