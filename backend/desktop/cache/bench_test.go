package cache

import (
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parley/backend/chat"
)

// The big data set is made once, into PARLEY_BENCH_DIR or a temporary folder.
var (
	benchConversations = flag.Int("conversations", 200_000, "conversations of the benchmark's data set")
	benchMessages      = flag.Int("messages", 2_000_000, "messages of the benchmark's data set")
)

// benchDir gives the folder with the data set, making it where it is missing.
func benchDir(b *testing.B) string {
	b.Helper()
	root := os.Getenv("PARLEY_BENCH_DIR")
	if root == "" {
		root = filepath.Join(os.TempDir(), "parley-bench")
	}
	dir := filepath.Join(root, fmt.Sprintf("cache-%s-%d-%d", schemaHash(), *benchConversations, *benchMessages))
	if exists(filepath.Join(dir, "complete")) {
		return dir
	}
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
	c, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	fill(b, c, testSet(*benchConversations, *benchMessages))
	b.Logf("data set of %d messages loaded in %.1f s: %.0f messages/s", *benchMessages, time.Since(start).Seconds(),
		float64(*benchMessages)/time.Since(start).Seconds())
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600); err != nil {
		b.Fatal(err)
	}
	return dir
}

// timings reports percentiles of what is measured: of the time on the wall and
// of what the process had of the processors, which says more on a busy machine.
type timings struct{ wall, cpu []time.Duration }

func (d *timings) measure(fn func()) {
	start, spent := time.Now(), cpuTime()
	fn()
	d.wall, d.cpu = append(d.wall, time.Since(start)), append(d.cpu, cpuTime()-spent)
}

func (d timings) report(b *testing.B, name string) {
	for of, list := range map[string][]time.Duration{"": d.wall, "cpu-": d.cpu} {
		slices.Sort(list)
		for at, p := range map[string]float64{"p50": 0.5, "p99": 0.99} {
			b.ReportMetric(float64(list[min(len(list)-1, int(p*float64(len(list))))].Microseconds())/1000, name+of+at+"-ms")
		}
	}
}

// rawDB is the file without anything of ours around it.
func rawDB(b *testing.B, dir string) *sql.DB {
	b.Helper()
	db, err := sql.Open("sqlite3", dsn(filepath.Join(dir, cacheFile), "mode", "ro", "_query_only", "1", "_cache_size", "-8000"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func rawRows(b *testing.B, s *sql.Stmt, columns int, args ...any) {
	b.Helper()
	rows, err := s.Query(args...)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	dest := make([]any, columns)
	for i := range dest {
		dest[i] = new([]byte)
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			b.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
}

func prepare(b *testing.B, db *sql.DB, query string) *sql.Stmt {
	b.Helper()
	s, err := db.Prepare(query)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func BenchmarkListRaw(b *testing.B) {
	db := rawDB(b, benchDir(b))
	s := prepare(b, db, `select data, label from conversation where shown = 1 order by last_at desc, id desc limit 50`)
	var d timings
	for b.Loop() {
		d.measure(func() { rawRows(b, s, 2) })
	}
	d.report(b, "")
}

func BenchmarkListFirstPage(b *testing.B) {
	c := open(b, benchDir(b))
	brands, err := c.Brands(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var brand, me struct {
		ID chat.BrandID `json:"id"`
	}
	if err := json.Unmarshal(brands[0], &brand); err != nil {
		b.Fatal(err)
	}
	members, err := c.Members(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(members[3], &me); err != nil {
		b.Fatal(err)
	}
	for _, id := range []chat.BrandID{{}, brand.ID} {
		for _, q := range allQuick {
			name := string(q)
			if !id.IsZero() {
				name += "/brand"
			}
			b.Run(name, func(b *testing.B) {
				var d timings
				for b.Loop() {
					d.measure(func() {
						page, err := c.Conversations(b.Context(), ListQuery{Brand: id, Quick: q, Me: chat.MemberID(me.ID), Limit: 50})
						if err != nil || len(page.Rows) != 50 {
							b.Fatal(len(page.Rows), err)
						}
					})
				}
				d.report(b, "")
			})
		}
	}
}

// longThreads finds conversations with at least 50 messages.
func longThreads(b *testing.B, db *sql.DB) (ids []chat.ConversationID, ns, heads []int64) {
	b.Helper()
	rows, err := db.Query("select id, n, last_number from conversation where last_number >= 50 order by n limit 3000")
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id chat.ConversationID
		var n, head int64
		if err := rows.Scan(&id, &n, &head); err != nil {
			b.Fatal(err)
		}
		ids, ns, heads = append(ids, id), append(ns, n), append(heads, head)
	}
	return ids, ns, heads
}

func BenchmarkThread50Raw(b *testing.B) {
	db := rawDB(b, benchDir(b))
	_, ns, heads := longThreads(b, db)
	s := prepare(b, db, "select data from message where key between ? and ? order by key")
	r := rand.New(rand.NewPCG(1, 1))
	var d timings
	for b.Loop() {
		i := r.IntN(len(ns))
		d.measure(func() { rawRows(b, s, 1, ns[i]<<numberBits|(heads[i]-49), ns[i]<<numberBits|heads[i]) })
	}
	d.report(b, "")
}

func BenchmarkThread50(b *testing.B) {
	dir := benchDir(b)
	ids, _, _ := longThreads(b, rawDB(b, dir))
	c := open(b, dir)
	r := rand.New(rand.NewPCG(1, 1))
	var d timings
	for b.Loop() {
		i := r.IntN(len(ids))
		d.measure(func() {
			page, err := c.Thread(b.Context(), ids[i], 0, 0, 0, 50)
			if err != nil || len(page.Messages) != 50 {
				b.Fatal(len(page.Messages), err)
			}
		})
	}
	d.report(b, "")
}

func BenchmarkOpenFirstRows(b *testing.B) {
	dir := benchDir(b)
	var d timings
	for b.Loop() {
		d.measure(func() {
			c, err := Open(dir, Options{})
			if err != nil {
				b.Fatal(err)
			}
			if page, err := c.Conversations(b.Context(), ListQuery{Limit: 50}); err != nil || len(page.Rows) != 50 {
				b.Fatal(len(page.Rows), err)
			}
			b.StopTimer()
			if err := c.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		})
	}
	d.report(b, "")
}

func BenchmarkCounts(b *testing.B) {
	c := open(b, benchDir(b))
	var d timings
	for b.Loop() {
		d.measure(func() {
			if _, err := c.Counts(b.Context(), chat.BrandID{}, chat.MemberID{}); err != nil {
				b.Fatal(err)
			}
		})
	}
	d.report(b, "")
}

func BenchmarkSearch(b *testing.B) {
	c := open(b, benchDir(b))
	for _, typed := range []string{"Müller", "an", "otter421", "山田", "+49 15"} {
		b.Run(typed, func(b *testing.B) {
			var d timings
			for b.Loop() {
				d.measure(func() {
					if _, err := c.Find(b.Context(), FindQuery{Query: parse(typed), Limit: 50}); err != nil {
						b.Fatal(err)
					}
				})
			}
			d.report(b, "")
		})
	}
}

// activeConversations finds those that wrote last, as most new messages are theirs.
func activeConversations(b *testing.B, db *sql.DB) []chat.ConversationID {
	b.Helper()
	rows, err := db.Query("select id from conversation where shown = 1 order by last_at desc limit 2000")
	if err != nil {
		b.Fatal(err)
	}
	ids, err := collect(rows, scan1[chat.ConversationID])
	if err != nil {
		b.Fatal(err)
	}
	return ids
}

// BenchmarkApply applies packets of live messages to the big cache, each
// message with its conversation, and takes nothing back: numbers go on.
func BenchmarkApply(b *testing.B) {
	dir := benchDir(b)
	ids := activeConversations(b, rawDB(b, dir))
	c := open(b, dir)
	for _, size := range []int{1, 500} {
		b.Run(fmt.Sprintf("packet-%d", size), func(b *testing.B) {
			var d timings
			messages := 0
			for b.Loop() {
				b.StopTimer()
				from, _ := c.Position()
				changes, to := livePacket(b, c, ids, from, size)
				b.StartTimer()
				d.measure(func() {
					if _, err := c.Apply(b.Context(), from, to, changes); err != nil {
						b.Fatal(err)
					}
				})
				messages += size
			}
			d.report(b, "")
			b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// livePacket makes new messages in random conversations.
func livePacket(b *testing.B, c *Cache, ids []chat.ConversationID, from int64, size int) (changes []chat.Change, to int64) {
	b.Helper()
	seq := from
	put := func(kind chat.EntityKind, id string, conv chat.Conversation, v any) {
		changes = append(changes, chat.Change{Seq: seq, Kind: kind, ID: id, Op: chat.OpPut, Brand: conv.Brand, Conversation: conv.ID, Data: encode(b, v)})
	}
	seen := map[chat.ConversationID]*chat.Conversation{}
	for range size {
		id := ids[rand.IntN(len(ids))]
		conv := seen[id]
		if conv == nil {
			data, err := c.Conversation(b.Context(), id)
			if err != nil {
				b.Fatal(err)
			}
			conv = &chat.Conversation{}
			if err := json.Unmarshal(data, conv); err != nil {
				b.Fatal(err)
			}
			seen[id] = conv
		}
		m := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindMessage, Author: chat.CustomerActor(conv.Contact),
			Parts: []chat.Part{chat.TextPart("Hello, is my order on its way?")}, StoredAt: conv.LastMessageAt + 1}
		conv.Append(&m)
		seq++
		m.Ver = seq
		put(chat.EntityMessage, m.ID.String(), *conv, m)
		seq++
		conv.Ver = seq
		put(chat.EntityConversation, conv.ID.String(), *conv, *conv)
	}
	return changes, seq
}

// BenchmarkHold sums up everything the big cache holds, as a proof does.
func BenchmarkHold(b *testing.B) {
	c := open(b, benchDir(b))
	if err := c.LoadedGained(b.Context(), 0, 1); err != nil { // the data set says nothing of a window
		b.Fatal(err)
	}
	var d timings
	for b.Loop() {
		d.measure(func() {
			h, err := c.Hold(b.Context(), func() bool { return false })
			if err != nil || h.Len() == 0 {
				b.Fatal(err)
			}
		})
	}
	d.report(b, "")
}
