package cache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/search"
)

func parse(typed string) search.Query { return search.Parse(typed, time.UTC) }

// indexAll takes everything into the index that waits for it.
func indexAll(t testing.TB, c *Cache) {
	t.Helper()
	for more := true; more; {
		err := c.writer.do(t.Context(), "index", func(x *tx) (err error) {
			more, err = x.index(sliceDocs, func(time.Duration) bool { return false })
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// find gives the numbers of the conversations found, in order, each with the
// number of the message where one was found.
func find(t testing.TB, c *Cache, q FindQuery) string {
	t.Helper()
	var list []string
	for {
		page, err := c.Find(t.Context(), q)
		if err != nil {
			t.Fatalf("%q: %v", q.String(), err)
		}
		for _, r := range page.Rows {
			s := fmt.Sprint(r.ID[15])
			if r.Hit != nil {
				s += fmt.Sprintf(".%d", r.Hit.Number)
			}
			list = append(list, s)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return strings.Join(list, " ")
		}
	}
}

// said is a message with all that can be looked for.
func (w world) said(conv byte, number, ver int64, brand byte, edit func(*chat.Message)) chat.Change {
	m := chat.Message{ID: messageID(conv, number), Ver: ver, Conversation: conversationID(conv), Number: number, StoredAt: testNow + chat.Time(ver)*1_000_000,
		Kind: chat.MessageKindMessage, Author: chat.CustomerActor(contactID(conv)), Parts: []chat.Part{}}
	edit(&m)
	return w.change(chat.EntityMessage, m.ID.String(), ver, brandID(brand), m.Conversation, m)
}

func text(s string) func(*chat.Message) {
	return func(m *chat.Message) { m.Parts = append(m.Parts, chat.TextPart(s)) }
}

// office is a cache with four conversations of two brands.
func office(t testing.TB) (*Cache, world) {
	c, w := open(t, t.TempDir()), world{t}
	apply(t, c,
		w.brand(1, 1), w.brand(2, 2), w.channel(1, 3), w.channel(2, 4), w.member(1, 5, "Lena Fischer"), w.member(2, 6, "Tom Ober"),
		w.contact(1, 7, 1, "Ana Weber"), w.contact(2, 8, 1, "Bob Invoice"), w.contact(3, 9, 2, "Chen"), w.contact(4, 10, 2, "Dina"),
		w.conversation(1, 11, 1, nil), w.conversation(2, 12, 1, nil), w.conversation(3, 13, 2, nil), w.conversation(4, 14, 2, nil),
		w.said(1, 1, 21, 1, text("Where is my invoice for the Kräutertee?")),
		w.said(1, 2, 22, 1, func(m *chat.Message) {
			m.Author = chat.MemberActor(memberID(1))
			m.Parts = []chat.Part{chat.TextPart("It is on its way"), {Kind: chat.PartFile, Name: "Rechnung-April.pdf"}}
		}),
		w.said(2, 1, 23, 1, text("hello there")),
		w.said(3, 1, 24, 2, text("什么时候退款到账")),
		w.said(3, 2, 25, 2, func(m *chat.Message) {
			m.Kind, m.Author = chat.MessageKindComment, chat.MemberActor(memberID(2))
			m.Parts = []chat.Part{chat.TextPart("paid the invoice twice")}
		}),
		w.said(4, 1, 26, 2, func(m *chat.Message) {
			m.Parts = []chat.Part{{Kind: chat.PartVoice, Transcript: "please call me back"}}
		}),
		w.said(4, 2, 27, 2, func(m *chat.Message) { m.Parts = []chat.Part{{Kind: chat.PartImage, Name: "cup.jpg"}} }),
		w.said(4, 3, 28, 2, text("the invoice is mentioned here, and the invoice number is 4711 — a long text so that it is worse than others, with many more words around")),
	)
	return c, w
}

// TestFind asks everything twice: of the messages as they have just come, and
// of the index.
func TestFind(t *testing.T) {
	c, _ := office(t)
	day := func(d int) string { return (testNow + chat.Time(d)*86_400_000_000).Std().UTC().Format("2006-01-02") }
	ask := func() {
		t.Helper()
		for typed, want := range map[string]string{
			"krautertee": "1.1", "KRÄUTER": "1.1", "tee": "", "april": "1.2", "退款": "3.1", "款到": "3.1", "call back": "4.1",
			"twice": "3.2", "hello": "2.1", "hello there": "2.1", `"there hello"`: "", "nothing": "",
			// A contact by name comes first, then the messages, newest first, each conversation once.
			"invoice": "2 4.3 3.2 1.1", "ana": "1", "lena": "",
			"invoice from:lena": "", "from:lena": "1.2", "from:ana": "1.1", "from:me": "1.2", "from:nobody": "", "from:tom invoice": "3.2", "from:Bob": "2.1",
			"has:voice": "4.1", "has:file": "1.2", "has:image": "4.2", "has:image has:voice": "", "has:voice call": "4.1",
			"invoice brand:2": "4.3 3.2", "brand:2": "4 3", "channel:telegram ana": "1", "channel:mail invoice": "", "channel:t invoice brand:1": "2 1.1",
			"invoice before:" + day(0): "", "invoice after:" + day(0): "4.3 3.2 1.1", "invoice before:" + day(1): "4.3 3.2 1.1", "after:" + day(1): "",
			"?!": "", "": "",
		} {
			if got := find(t, c, FindQuery{Query: parse(typed), Me: memberID(1)}); got != want {
				t.Errorf("%q finds %q, want %q", typed, got, want)
			}
		}
		if got := find(t, c, FindQuery{Query: parse("invoice"), Best: true}); got != "2 3.2 1.1 4.3" && got != "2 1.1 3.2 4.3" {
			t.Errorf("best first: %s", got)
		}
		if got := find(t, c, FindQuery{Query: parse("invoice"), Oldest: true}); got != "2 1.1 3.2 4.3" {
			t.Errorf("oldest first: %s", got)
		}
		if got := find(t, c, FindQuery{Query: parse("invoice"), Brand: brandID(1)}); got != "2 1.1" {
			t.Errorf("in one brand: %s", got)
		}
		if got := find(t, c, FindQuery{Query: parse("invoice"), Quick: QuickResolved}); got != "" {
			t.Errorf("among resolved ones: %s", got)
		}
		for _, oldest := range []bool{false, true} {
			whole := find(t, c, FindQuery{Query: parse("invoice"), Oldest: oldest})
			if got := find(t, c, FindQuery{Query: parse("invoice"), Oldest: oldest, Limit: 1}); got != whole {
				t.Errorf("page by page %q, at once %q", got, whole)
			}
		}
	}
	ask()
	indexAll(t, c)
	ask()
	page, err := c.Find(t.Context(), FindQuery{Query: parse("april")})
	if err != nil || len(page.Rows) != 1 {
		t.Fatal(page, err)
	}
	want := Hit{Message: messageID(1, 2), Number: 2, Kind: chat.MessageKindMessage, Author: chat.MemberActor(memberID(1)), At: testNow + 22_000_000, Part: chat.PartFile,
		Snippet: search.Snippet{Text: "Rechnung-April.pdf", Marks: []search.Mark{{9, 14}}}}
	if got := *page.Rows[0].Hit; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("hit %+v, want %+v", got, want)
	}
}

// TestWhatIsGoneIsNotFound: at once, before the index knows; and nothing of it
// stays in the index.
func TestWhatIsGoneIsNotFound(t *testing.T) {
	for _, early := range []bool{false, true} {
		c, w := office(t)
		if !early {
			indexAll(t, c)
		}
		gone := func(what, typed, want string) {
			t.Helper()
			for range 2 {
				if got := find(t, c, FindQuery{Query: parse(typed)}); got != want {
					t.Errorf("%s: %q finds %q, want %q", what, typed, got, want)
				}
				purged(t, c) // what the writer removes meanwhile has left the index a little later
				indexAll(t, c)
				checkIndex(t, c)
			}
		}
		apply(t, c, w.said(1, 1, 31, 1, text("edited")))
		gone("edited", "kräutertee", "")
		gone("edited", "edited", "1.1")
		apply(t, c, w.said(1, 2, 32, 1, func(m *chat.Message) { m.DeletedAt = testNow }))
		gone("deleted", "april", "")
		apply(t, c, w.change(chat.EntityMessage, messageID(2, 1).String(), 33, brandID(1), conversationID(2), nil))
		gone("dropped", "hello", "")
		apply(t, c, w.change(chat.EntityConversation, conversationID(4).String(), 34, brandID(2), conversationID(4), nil))
		gone("conversation dropped", "call", "")
		// The number of the conversation that is gone is given to another one.
		apply(t, c, w.contact(5, 35, 1, "Eve"), w.conversation(5, 36, 1, nil), w.said(5, 1, 37, 1, text("good evening")))
		gone("another one in its place", "4711", "")
		gone("another one in its place", "evening", "5.1")
		apply(t, c, w.access(38, chat.Access{Member: memberID(1), Brands: []chat.BrandID{brandID(1)}}))
		gone("brand revoked", "退款", "")
		gone("brand revoked", "invoice", "2")
		apply(t, c, w.access(39, chat.Access{Member: memberID(1), Revoked: true}))
		gone("all revoked", "edited", "")
		purged(t, c)
		indexAll(t, c)
		db := readOnlyTB(t, c)
		for _, table := range []string{"indexed", "message_fts", "unindexed"} {
			var n int
			if err := db.QueryRow("select count(*) from " + table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%d rows left in %s, %v", n, table, err)
			}
		}
	}
}

// TestRevokedBrandIsHiddenBeforeItIsPurged: what may not be seen is not found
// even where its rows are still there.
func TestRevokedBrandIsHiddenBeforeItIsPurged(t *testing.T) {
	c, _ := office(t)
	indexAll(t, c)
	s := *c.state.Load()
	s.Access = &chat.Access{Member: memberID(1), Brands: []chat.BrandID{brandID(1)}}
	c.state.Store(&s)
	if got := find(t, c, FindQuery{Query: parse("invoice")}); got != "2 1.1" {
		t.Errorf("finds %q", got)
	}
	if got := find(t, c, FindQuery{Query: parse("brand:2")}); got != "" {
		t.Errorf("a brand by name finds %q", got)
	}
}

// TestNewEpochTakesOldMessagesOutOfTheIndex: a sweep drops messages by the
// thousand, and what they said is not found any more.
func TestNewEpochTakesOldMessagesOutOfTheIndex(t *testing.T) {
	c, w := office(t)
	indexAll(t, c)
	if err := c.SetPosition(t.Context(), 28, "one"); err != nil {
		t.Fatal(err)
	}
	if err := c.BeginBootstrap(t.Context(), Bootstrap{Head: 5, Epoch: "other"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutBootstrap(t.Context(), []Row{RowOf(w.conversation(1, 1, 1, nil))}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.FinishBootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := find(t, c, FindQuery{Query: parse("kräutertee")}); got != "" {
			t.Errorf("finds %q", got)
		}
		indexAll(t, c)
		checkIndex(t, c)
	}
}

// TestWhatStandsSideBySide: the index knows only that the words are there, so
// the messages it answers with are looked through until the page is full.
func TestWhatStandsSideBySide(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	var changes []chat.Change
	for n := byte(1); n <= 5; n++ {
		changes = append(changes, w.contact(n, int64(n), 1, "Ana"), w.conversation(n, int64(10+n), 1, nil))
	}
	var want []string
	for i := range int64(500) {
		n, said := byte(1+i%5), "the way is on, it is"
		if i%100 == 7 || i == 3 {
			said = "it is on the way, 订单退款"
			want = append(want, fmt.Sprintf("%d.%d", n, 1+i/5))
		}
		changes = append(changes, w.said(n, 1+i/5, 20+i, 1, text(said)))
	}
	apply(t, c, changes...)
	newest := want[len(want)-1] + " " + want[0] // each conversation once: the third has all but the first
	for range 2 {
		for typed, want := range map[string]string{`"on the way"`: newest, `"the way is on" `: "5.100 4.100 3.100 2.100 1.100", `"way the"`: "", "订单退款": newest, "单退": newest, "退订": ""} {
			for _, limit := range []int{0, 1} {
				if got := find(t, c, FindQuery{Query: parse(typed), Limit: limit}); got != want {
					t.Errorf("%s finds %q, want %q", typed, got, want)
				}
			}
		}
		indexAll(t, c)
	}
}

// TestFarFuture: a clock that is centuries ahead makes messages that come
// first, and page by page finds the same as at once.
func TestFarFuture(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	var changes []chat.Change
	for n := byte(1); n <= 6; n++ {
		at := testNow + chat.Time(n)*chat.Time(n)*years(30)
		changes = append(changes, w.contact(n, int64(n), 1, "Ana"), w.conversation(n, int64(10+n), 1, nil), w.said(n, 1, int64(20+n), 1, func(m *chat.Message) {
			m.StoredAt, m.Parts = at, []chat.Part{chat.TextPart("hello")}
		}))
	}
	apply(t, c, changes...)
	for range 2 {
		for _, q := range []FindQuery{{}, {Limit: 1}, {Oldest: true}, {Oldest: true, Limit: 1}} {
			q.Query = parse("hello")
			want := "6.1 5.1 4.1 3.1 2.1 1.1"
			if q.Oldest {
				want = "1.1 2.1 3.1 4.1 5.1 6.1"
			}
			if got := find(t, c, q); got != want {
				t.Errorf("%+v finds %q, want %q", q, got, want)
			}
		}
		if got := find(t, c, FindQuery{Query: parse("hello after:2100")}); got != "6.1 5.1 4.1 3.1 2.1" {
			t.Errorf("after a day finds %q", got)
		}
		if got := find(t, c, FindQuery{Query: parse("hello before:2199")}); got != "2.1 1.1" {
			t.Errorf("before a day finds %q", got)
		}
		indexAll(t, c)
	}
}

func years(n int64) chat.Time { return chat.Time(n * 365 * 86_400_000_000) }

// TestTheNextKeyEndsASearch: also while the index is read.
func TestTheNextKeyEndsASearch(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	changes := []chat.Change{w.contact(1, 1, 1, "Ana"), w.conversation(1, 2, 1, nil)}
	for i := range int64(3_000) {
		changes = append(changes, w.said(1, i+1, 3+i, 1, text("the way is on, it is")))
	}
	apply(t, c, changes...)
	indexAll(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	began := time.Now()
	for range 1000 {
		// Nothing stands so: every message has to be looked at.
		if _, err := c.Find(ctx, FindQuery{Query: parse(`"way the is" `)}); err == nil {
			continue
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		return
	}
	t.Errorf("a search was not ended for %s", time.Since(began))
}

// TestASearchIsCancelled: the context ends a search that goes through everything.
func TestASearchIsCancelled(t *testing.T) {
	c, _ := office(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Find(ctx, FindQuery{Query: parse("invoice")}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestTheWriterFeedsTheIndex: without anybody asking, and from where it was
// when the program ended.
func TestTheWriterFeedsTheIndex(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := world{t}
	apply(t, c, w.contact(1, 1, 1, "Ana"), w.conversation(1, 2, 1, nil))
	for i := range int64(50) {
		apply(t, c, w.said(1, i+1, 10+i, 1, text(fmt.Sprintf("message w%d", i))))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, dir)
	db := readOnlyTB(t, c)
	until(t, "50 messages are in the index", func() (all bool) {
		if err := db.QueryRow("select count(*) = 50 from indexed").Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	})
	checkIndex(t, c)
}

// TestManyMessagesOfOneSecond: an import gives thousands of messages one time.
func TestManyMessagesOfOneSecond(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	changes := []chat.Change{w.contact(1, 1, 1, "Ana"), w.conversation(1, 2, 1, nil)}
	for i := range int64(3000) {
		changes = append(changes, w.said(1, i+1, 3, 1, text(fmt.Sprintf("import n%d", i))))
	}
	apply(t, c, changes...)
	indexAll(t, c)
	checkIndex(t, c)
	if got := find(t, c, FindQuery{Query: parse("n2999 before:" + (testNow + 60_000_000).Std().UTC().Format(time.RFC3339))}); got != "1.3000" {
		t.Errorf("finds %q", got)
	}
}

// TestIndexEqualsARebuild writes, edits, deletes and purges at random and
// indexes now and then; in the end the index says what one made anew would.
func TestIndexEqualsARebuild(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	c, w := open(t, t.TempDir()), world{t}
	words := strings.Fields("apple pear 退款 订单 plum Äpfel ёлка fig invoice tea 배송 cup")
	said := func() string {
		var list []string
		for range 1 + r.IntN(5) {
			list = append(list, words[r.IntN(len(words))])
		}
		return strings.Join(list, []string{" ", ""}[r.IntN(2)])
	}
	ver := int64(10)
	for range 600 {
		ver++
		n, number := byte(1+r.IntN(5)), int64(1+r.IntN(8))
		brand := 1 + n%2
		switch k := r.IntN(20); {
		case k < 11:
			apply(t, c, w.said(n, number, ver, brand, text(said())))
		case k < 13:
			apply(t, c, w.said(n, number, ver, brand, func(m *chat.Message) { m.DeletedAt = testNow }))
		case k < 14:
			apply(t, c, w.change(chat.EntityMessage, messageID(n, number).String(), ver, brandID(brand), conversationID(n), nil))
		case k < 16:
			apply(t, c, w.contact(n, ver, brand, said()), w.conversation(n, ver, brand, nil))
		case k < 17:
			apply(t, c, w.access(ver, chat.Access{Member: memberID(1), Brands: []chat.BrandID{brandID(1 + byte(r.IntN(2)))}}))
			apply(t, c, w.access(ver+1, chat.Access{Member: memberID(1)}))
			ver++
		default:
			err := c.writer.do(t.Context(), "index", func(x *tx) error {
				_, err := x.index(1+r.IntN(6), func(time.Duration) bool { return r.IntN(3) == 0 })
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	questions := append(slices.Clone(words), "退", "款退", "ap", "fig tea", "has:file")
	answers := func() string {
		var b strings.Builder
		for _, typed := range questions {
			for _, q := range []FindQuery{{}, {Brand: brandID(1)}, {Oldest: true, Limit: 2}} {
				q.Query = parse(typed)
				fmt.Fprintf(&b, "%s: %s\n", typed, find(t, c, q))
			}
		}
		return b.String()
	}
	before := answers()
	indexAll(t, c)
	checkIndex(t, c)
	fed := answers()
	// Docs of one second have no order but their keys', so both say the same.
	if before != fed {
		t.Errorf("before the index was fed:\n%s\nafter:\n%s", before, fed)
	}
	rebuild(t, c)
	checkIndex(t, c)
	if anew := answers(); anew != fed {
		t.Errorf("made anew:\n%s\nas it was:\n%s", anew, fed)
	}
}

// rebuild makes the index anew from the messages.
func rebuild(t testing.TB, c *Cache) {
	t.Helper()
	err := c.writer.do(t.Context(), "rebuild", func(x *tx) error {
		for _, query := range []string{"delete from indexed", "insert into message_fts (message_fts) values ('delete-all')"} {
			if _, err := x.exec(query); err != nil {
				return err
			}
		}
		x.reindex(keyRange{0, 1 << 62})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	indexAll(t, c)
}

// checkIndex compares the index, word by word, with what the messages say.
func checkIndex(t testing.TB, c *Cache) {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn(filepath.Join(c.dir, cacheFile)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("create virtual table temp.word using fts5vocab(main, message_fts, instance)"); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query("select distinct coalesce((select key from indexed where indexed.doc = word.doc), -1), term from word")
	if err != nil {
		t.Fatal(err)
	}
	got := printRows(t, rows)
	rows, err = db.Query("select key, data from message")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var want []string
	for rows.Next() {
		var key int64
		var data []byte
		if err := rows.Scan(&key, &data); err != nil {
			t.Fatal(err)
		}
		if m, ok := search.ReadMessage(data); ok {
			words := strings.Fields(m.Words())
			slices.Sort(words)
			for _, word := range slices.Compact(words) {
				want = append(want, fmt.Sprintf("%q %q ", fmt.Sprint(key), word))
			}
		}
	}
	sort.Strings(got)
	sort.Strings(want)
	if d := difference(strings.Join(got, "\n"), strings.Join(want, "\n")); d != "" {
		t.Errorf("the index differs from the messages (+ too much, - missing):\n%s", d)
	}
}

func readOnlyTB(t testing.TB, c *Cache) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn(filepath.Join(c.dir, cacheFile), "mode", "ro"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestManyOfOneName: more people are called so than are told apart one by one.
func TestManyOfOneName(t *testing.T) {
	c := open(t, t.TempDir())
	brand, channel := brandID(1), channelID(1)
	const people = manyPeople + 100
	var rows []Row
	for n := range int64(people) {
		k := chat.Contact{ID: chat.NewID[chat.Contact](), Ver: 1, Brand: brand, Name: fmt.Sprintf("Maria %d", n)}
		conv := chat.Conversation{ID: chat.NewID[chat.Conversation](), Ver: 1, Brand: brand, Channel: channel, Contact: k.ID, Status: chat.StatusOpen, LastMessageAt: testNow + chat.Time(n)}
		m := chat.Message{ID: chat.NewID[chat.Message](), Ver: 1, Kind: chat.MessageKindMessage, Author: chat.CustomerActor(k.ID),
			Parts: []chat.Part{chat.TextPart("maria wants a refund")}, StoredAt: conv.LastMessageAt}
		conv.Append(&m)
		rows = append(rows, Row{Kind: chat.EntityContact, ID: k.ID.String(), Brand: brand, Data: encode(t, k)},
			Row{Kind: chat.EntityConversation, ID: conv.ID.String(), Brand: brand, Data: encode(t, conv)},
			Row{Kind: chat.EntityMessage, ID: m.ID.String(), Brand: brand, Conversation: conv.ID, Data: encode(t, m)})
	}
	_, err := c.PutRows(t.Context(), rows)
	must(t, err)
	indexAll(t, c)
	if list := strings.Fields(find(t, c, FindQuery{Query: parse("from:maria refund"), Limit: MaxPage})); len(list) != people {
		t.Errorf("found what %d of %d have written", len(list), people)
	}
}
