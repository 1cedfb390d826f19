package desktop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
)

// talked fills a chat that is done with so many messages and gives it an age.
func talked(t *testing.T, s *session, conv chat.ConversationID, age time.Duration, messages int64) {
	t.Helper()
	raw, err := s.cache.Conversation(t.Context(), conv)
	if err != nil {
		t.Fatal(err)
	}
	c := chat.Conversation{}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	c.Ver, c.Status, c.LastMessageAt, c.LastNumber = c.Ver+1, chat.StatusResolved, s.e.now().Add(-age), messages
	rows := []cache.Row{{Kind: chat.EntityConversation, ID: conv.String(), Op: chat.OpPut, Data: encode(t, c)}}
	for n := range messages {
		m := chat.Message{ID: chat.NewID[chat.Message](), Ver: 1, Conversation: conv, Number: n + 1, Parts: []chat.Part{chat.TextPart("hello")}}
		rows = append(rows, cache.Row{Kind: chat.EntityMessage, ID: m.ID.String(), Op: chat.OpPut, Data: encode(t, m)})
	}
	if _, err := s.cache.PutRows(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
}

func here(t *testing.T, s *session, conv chat.ConversationID) bool {
	t.Helper()
	page, err := s.cache.Thread(t.Context(), conv, 0, 0, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Messages) > 0
}

// TestPruningSparesWhatIsNeededHere lets messages go after a week, in chats that
// are three weeks old.
func TestPruningSparesWhatIsNeededHere(t *testing.T) {
	dir := t.TempDir()
	e := open(t, Options{Data: dir, DefaultServer: "x"})
	join(t, e, nowhere)
	s, brand := current(t, e), chat.NewID[chat.Brand]()
	chats := map[string]chat.ConversationID{}
	for _, name := range []string{"nothing", "draft", "unsent", "opened before", "young"} {
		chats[name] = cached(t, s, brand)
		age := 21 * 24 * time.Hour
		if name == "young" {
			age = 24 * time.Hour
		}
		talked(t, s, chats[name], age, 3)
	}
	if err := e.SaveDraft(chats["draft"].String(), Draft{Text: "Dear"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Send(chats["unsent"].String(), NewMessage{Text: "Hello"}); err != nil {
		t.Fatal(err)
	}
	if err := e.Viewing(chats["opened before"].String()); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil { // what was opened is known after a restart
		t.Fatal(err)
	}
	e = open(t, Options{Data: dir, DefaultServer: "x"})
	s = current(t, e)
	if got, err := e.Storage(); err != nil || got.Limits != (StorageLimits{CacheBytes: 2 << 30, FilesBytes: 2 << 30}) || got.CacheBytes < 4096 {
		t.Errorf("storage %+v, %v", got, err)
	}
	for _, wrong := range []StorageLimits{{CacheBytes: 1}, {Days: -1}, {FilesBytes: -1}} {
		if err := e.SetStorageLimits(wrong); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	limits := StorageLimits{CacheBytes: 1 << 30, FilesBytes: 1 << 30, Days: 7}
	if err := e.SetStorageLimits(limits); err != nil {
		t.Fatal(err)
	}
	until(t, "the old messages to go", func() bool { return !here(t, s, chats["nothing"]) })
	if _, err := s.makeRoom(); err != nil {
		t.Fatal(err)
	}
	for name, c := range chats {
		if want := name != "nothing"; here(t, s, c) != want {
			t.Errorf("%s: messages are here %v", name, !want)
		}
	}
	if page, err := e.List(ListQuery{Limit: 50}); err != nil || len(page.Rows) != len(chats) {
		t.Errorf("%d chats are listed: %v", len(page.Rows), err)
	}
	if got, err := e.Storage(); err != nil || got.Limits != limits {
		t.Errorf("storage %+v, %v", got, err)
	}
}

// TestPruningWaitsForTheAgent has somebody type all the time.
func TestPruningWaitsForTheAgent(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	join(t, e, nowhere)
	s := current(t, e)
	s.working()
	began := s.e.clock().Mono
	if err := s.rest(); err != nil {
		t.Fatal(err)
	}
	if took := s.e.clock().Mono - began; took < careYield-carePause {
		t.Errorf("went on %s after a key press", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.breakOff.Store(&cancel)
	s.working()
	if ctx.Err() == nil {
		t.Error("reading the whole file goes on while the agent types")
	}
}

// TestFilesThatWereNotUsedLongestGo makes room among ten files.
func TestFilesThatWereNotUsedLongestGo(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	join(t, e, nowhere)
	s := current(t, e)
	names := make([]string, 10)
	for i := range names {
		names[i] = strings.Repeat(fmt.Sprint(i), 64)
		path := filepath.Join(s.filesFolder(), names[i][:2], names[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Duration(100-i) * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.file(names[0]); err != nil { // the oldest, just used
		t.Fatal(err)
	}
	if got, err := e.Storage(); err != nil || got.FilesBytes != 10_000 {
		t.Errorf("storage %+v, %v", got, err)
	}
	if err := s.pruneFiles(10_000); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Storage(); err != nil || got.FilesBytes != 10_000 {
		t.Errorf("within the limit, storage %+v, %v", got, err)
	}
	if err := s.pruneFiles(5000); err != nil {
		t.Fatal(err)
	}
	left := ""
	for i, name := range names {
		if _, err := os.Stat(filepath.Join(s.filesFolder(), name[:2], name)); err == nil {
			left += fmt.Sprint(i)
		}
	}
	if left != "0789" {
		t.Errorf("left are %s", left)
	}
}
