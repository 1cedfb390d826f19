package cache

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/backend/chat"
	"parley/backend/search"
)

// twoWords makes questions of two words, of four kinds. Words have two
// characters or more, as fewer are a search only while it is being typed; runs
// of unspaced scripts are taken as pairs, which are words there.
//
//	any     two words of one message, so that there is a hit: as people search
//	common  two of one message, each among the hundred most frequent
//	rare    one that is in few messages with one of the hundred, of one message
//	apart   two of the three hundred, whether they ever stand together or not:
//	        the worst, as the index is read to its end where they never do
func twoWords(b *testing.B, c *Cache, n int) map[string][]string {
	b.Helper()
	db := readOnlyTB(b, c)
	var top int64
	if err := db.QueryRow("select max(n) from conversation").Scan(&top); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	var messages [][]string
	count := map[string]int{}
	for len(messages) < 10_000 {
		var data []byte
		if db.QueryRow("select data from message where key >= ? limit 1", r.Int64N(top)<<numberBits).Scan(&data) != nil {
			continue
		}
		m, ok := search.ReadMessage(data)
		if !ok {
			continue
		}
		body, _ := m.Index()
		words := slices.DeleteFunc(strings.Fields(body), func(w string) bool { return utf8.RuneCountInString(w) < 2 })
		messages = append(messages, words)
		for _, w := range words {
			count[w]++
		}
	}
	frequent := slices.SortedFunc(maps.Keys(count), func(v, w string) int { return cmp.Or(count[w]-count[v], strings.Compare(v, w)) })
	lots := count[frequent[100]]
	ask := map[string][]string{}
	put := func(kind, v, w string) {
		if v != w && len(ask[kind]) < n {
			ask[kind] = append(ask[kind], v+" "+w)
		}
	}
	for tries := 0; tries < 200*n; tries++ {
		words := messages[r.IntN(len(messages))]
		if len(words) > 1 {
			v, w := words[r.IntN(len(words))], words[r.IntN(len(words))]
			put("any", v, w)
			switch common, other := count[v] >= lots, count[w]; {
			case common && other >= lots:
				put("common", v, w)
			case common && other <= 2:
				put("rare", v, w)
				put("rare", w, v)
			}
		}
		put("apart", frequent[r.IntN(300)], frequent[r.IntN(300)])
	}
	return ask
}

// kinds are the kinds of questions in a fixed order.
var kinds = []string{"any", "common", "rare", "apart"}

// indexedSet opens the data set with all messages in the index.
func indexedSet(b *testing.B) (c *Cache, dir string) {
	b.Helper()
	dir = benchDir(b)
	c = open(b, dir)
	indexAll(b, c)
	return c, dir
}

// BenchmarkFind looks for two words, the last of which may go on, as while
// typing: see twoWords. Beside each stands raw: the same question put to the
// index by hand, and the newest messages it answers with read, as many as the
// order needs, with nothing checked, ranked, grouped or shown.
func BenchmarkFind(b *testing.B) {
	c, dir := indexedSet(b)
	words := twoWords(b, c, 500)
	db := rawDB(b, dir)
	for _, order := range []string{"newest", "best"} {
		limit := 50
		if order == "best" {
			limit = bestOf
		}
		raw := prepare(b, db, `select m.data from (select rowid as doc from message_fts where message_fts match ? order by rowid limit `+strconv.Itoa(limit)+`) f
			join indexed x on x.doc = f.doc join message m on m.key = x.key`)
		for _, kind := range kinds {
			ask := words[kind]
			run := func(name string, fn func(typed string)) {
				b.Run(order+"/"+kind+"/"+name, func(b *testing.B) {
					var d timings
					for i := 0; b.Loop(); i++ {
						d.measure(func() { fn(ask[i%len(ask)]) })
					}
					d.report(b, "")
				})
			}
			run("raw", func(typed string) { rawRows(b, raw, 1, together(parse(typed).Whole().MatchWords())) })
			run("found", func(typed string) {
				if _, err := c.Find(b.Context(), FindQuery{Query: parse(typed), Best: order == "best", Limit: 50}); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
	for _, typed := range []string{"order", "the ord", "退款", "has:voice", "from:anna order", "brand:a has:file order", "an", "+49 15"} {
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

// BenchmarkFindTail looks for two words while a long catch-up is not indexed yet.
func BenchmarkFindTail(b *testing.B) {
	c, dir := indexedSet(b)
	ids := activeConversations(b, rawDB(b, dir))
	words := twoWords(b, c, 100)["any"]
	c.writer.waiting.Add(1) // somebody waits all the time: nothing is indexed
	defer c.writer.waiting.Add(-1)
	from, _ := c.Position()
	changes, to := livePacket(b, c, ids, from, 5000)
	if _, err := c.Apply(b.Context(), from, to, changes); err != nil {
		b.Fatal(err)
	}
	var d timings
	i := 0
	for b.Loop() {
		i++
		d.measure(func() {
			if _, err := c.Find(b.Context(), FindQuery{Query: parse(words[i%len(words)]), Limit: 50}); err != nil {
				b.Fatal(err)
			}
		})
	}
	d.report(b, "")
}

// BenchmarkApplyFed applies packets as a catch-up does: with the index fed
// behind, and raw, without anything being indexed.
func BenchmarkApplyFed(b *testing.B) {
	dir := benchDir(b)
	ids := activeConversations(b, rawDB(b, dir))
	c := open(b, dir)
	for _, fed := range []bool{false, true} {
		b.Run(map[bool]string{true: "fed", false: "raw"}[fed], func(b *testing.B) {
			if !fed {
				c.writer.waiting.Add(1) // somebody waits all the time: nothing is indexed
				defer c.writer.waiting.Add(-1)
			}
			messages := 0
			for b.Loop() {
				b.StopTimer()
				var packets [][]chat.Change
				from, _ := c.Position()
				at := []int64{from}
				changes, to := livePacket(b, c, ids, from, 10_000)
				for len(changes) > 0 {
					n := min(2000, len(changes))
					packets, changes = append(packets, changes[:n]), changes[n:]
					at = append(at, packets[len(packets)-1][n-1].Seq)
				}
				at[len(at)-1] = to
				b.StartTimer()
				for i, p := range packets {
					if _, err := c.Apply(b.Context(), at[i], at[i+1], p); err != nil {
						b.Fatal(err)
					}
				}
				messages += 10_000
			}
			b.ReportMetric(float64(2*messages)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// BenchmarkIndex takes messages into the index, some thousand at a time.
func BenchmarkIndex(b *testing.B) {
	dir := benchDir(b)
	ids := activeConversations(b, rawDB(b, dir))
	c := open(b, dir)
	messages := 0
	for b.Loop() {
		b.StopTimer()
		from, _ := c.Position()
		changes, to := livePacket(b, c, ids, from, 5000)
		if _, err := c.Apply(b.Context(), from, to, changes); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		indexAll(b, c)
		messages += 5000
	}
	b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "messages/s")
	var size int64
	if err := readOnlyTB(b, c).QueryRow("select sum(length(block)) >> 20 from message_fts_data").Scan(&size); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size), "MiB")
}
