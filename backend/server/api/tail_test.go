package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// TestSharedFramesKeepToTheView lets sockets of members who see different things write at the same time, from
// different positions: what each sends is what its own view sees at each point of the log, whoever has had the same
// frame made before.
func TestSharedFramesKeepToTheView(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	brands := []chat.BrandID{{}, chat.NewID[chat.Brand](), chat.NewID[chat.Brand](), chat.NewID[chat.Brand]()}
	var members []chat.Member
	for range 5 {
		m := chat.Member{ID: chat.NewID[chat.Member](), Role: chat.RoleAgent}
		if rnd.IntN(3) > 0 {
			m.Brands = someOf(rnd, brands[1:])
		}
		members = append(members, m)
	}
	for range 10 {
		a := &API{metrics: newMetrics(), log: slog.Default()}
		a.hubs = newHubs(nil, slog.Default(), a.metrics, time.Minute, time.Minute, time.Minute, time.Minute)
		h := &hub{hubs: a.hubs}
		first, log := rnd.Int64N(100), randomLog(t, rnd, brands, members)
		for i := range log {
			log[i].Seq = first + int64(i) + 1
		}
		fresh, err := encoded(log)
		if err != nil {
			t.Fatal(err)
		}
		h.tail.Store((&tail{from: first, head: first}).with(fresh))

		var writing sync.WaitGroup
		var sockets []*sharing
		for range 24 {
			s := &socket{api: a, hub: h, sent: first + rnd.Int64N(3)*int64(len(log))/4}
			s.read, s.who.Member = s.sent, members[rnd.IntN(len(members))]
			s.view = chat.ViewOf(s.who.Member)
			sh := &sharing{socket: s, after: s.sent, view: s.view}
			var client *websocket.Conn
			s.conn, client = socketPair(t)
			writing.Go(func() {
				if end, err := s.follow(t.Context()); end != nil || err != nil {
					t.Errorf("follow: %v %v", end, err)
				}
				s.conn.Close()
			})
			writing.Go(func() { sh.hear(t, client) })
			sockets = append(sockets, sh)
		}
		writing.Wait()
		for _, sh := range sockets {
			sh.judge(t, log)
		}
	}
}

// sharing is a socket, and what its client has heard.
type sharing struct {
	*socket
	after int64
	view  chat.View // at first
	heard []chat.Change
}

func (sh *sharing) hear(t *testing.T, client *websocket.Conn) {
	at := sh.after
	for {
		_, raw, err := client.ReadMessage()
		if err != nil {
			return
		}
		var f protocol.Frame
		if err := json.Unmarshal(raw, &f); err != nil {
			t.Errorf("frame %s: %v", raw, err)
			return
		}
		if f.From != at || f.To <= at {
			t.Errorf("a packet (%d, %d] at %d", f.From, f.To, at)
		}
		at = f.To
		sh.heard = append(sh.heard, f.Changes...)
	}
}

func (sh *sharing) judge(t *testing.T, log []chat.Change) {
	t.Helper()
	view := sh.view
	var want []int64
	for _, c := range log {
		if c.Seq <= sh.after {
			continue
		}
		if view.SeesChange(c) {
			want = append(want, c.Seq)
		}
		if c.Kind == chat.EntityAccess && c.Member == view.Member {
			var a chat.Access
			if err := json.Unmarshal(c.Data, &a); err != nil {
				t.Fatal(err)
			}
			view = chat.ViewOf(chat.Member{ID: view.Member, Role: a.Role, Brands: a.Brands})
		}
	}
	var got []int64
	for _, c := range sh.heard {
		got = append(got, c.Seq)
		if i := int(c.Seq - log[0].Seq); c.ID != log[i].ID {
			t.Errorf("change %d is %s, want %s", c.Seq, c.ID, log[i].ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("from %d, seeing the brands %v, came\n%v, want\n%v", sh.after, sh.view.Brands, got, want)
	}
}

// randomLog is a log of more than one packet, in which some members' access changes.
func randomLog(t *testing.T, rnd *rand.Rand, brands []chat.BrandID, members []chat.Member) []chat.Change {
	t.Helper()
	log := make([]chat.Change, 100+rnd.IntN(2*protocol.MaxChanges))
	for i := range log {
		c := chat.Change{Kind: chat.EntityMessage, ID: fmt.Sprint("m", i), Op: chat.OpPut, Brand: brands[rnd.IntN(len(brands))],
			Data: json.RawMessage(`{"text":"` + strings.Repeat("x", rnd.IntN(2000)) + `"}`)}
		switch m := members[rnd.IntN(len(members))]; rnd.IntN(60) {
		case 0:
			access, err := json.Marshal(chat.Access{Member: m.ID, Role: m.Role, Brands: someOf(rnd, brands[1:])})
			if err != nil {
				t.Fatal(err)
			}
			c.Kind, c.Brand, c.Member, c.Data = chat.EntityAccess, chat.BrandID{}, m.ID, access
		case 1, 2, 3:
			c.Member = m.ID
		}
		log[i] = c
	}
	return log
}

// someOf gives at least one of several.
func someOf(rnd *rand.Rand, brands []chat.BrandID) []chat.BrandID {
	mixed := slices.Clone(brands)
	rnd.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	return mixed[:1+rnd.IntN(len(mixed))]
}

// socketPair gives both ends of a WebSocket.
func socketPair(t *testing.T) (server, client *websocket.Conn) {
	t.Helper()
	conns := make(chan *websocket.Conn, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
		}
		conns <- conn
	}))
	t.Cleanup(srv.Close)
	client, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	t.Cleanup(func() { client.Close() })
	return <-conns, client
}

// TestFramesAreMadeOnce also holds the cache to its bounds.
func TestFramesAreMadeOnce(t *testing.T) {
	raw := json.RawMessage(`"` + strings.Repeat("x", 1000) + `"`)
	entries := []entry{{raw: raw}, {raw: raw}}
	key := func(from int64, picked ...int) *frameKey {
		k := &frameKey{from: from, read: 10, to: 12}
		for _, i := range picked {
			k.pick(i)
		}
		return k
	}
	var f frames
	get := func(k *frameKey) *websocket.PreparedMessage {
		t.Helper()
		m, err := f.of(k, entries)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	both := get(key(10, 0, 1))
	one := get(key(10, 0))
	if get(key(10, 0, 1)) != both || get(key(10, 0)) != one {
		t.Error("a frame was made twice")
	}
	if other := key(10, 0, 1); true {
		other.log++
		if one == both || get(key(9, 0, 1)) == both || get(key(10, 1)) == one || get(other) == both {
			t.Error("different frames are taken for the same")
		}
	}
	f.rest()
	if get(key(10, 0, 1)) != both {
		t.Error("a frame that is wanted is gone after one rest")
	}
	f.rest()
	f.rest()
	if get(key(10, 0, 1)) == both {
		t.Error("a frame nobody wants is kept")
	}
	for i := range 10 * maxFrames {
		get(key(int64(i), 0))
	}
	if len(f.young) > maxFrames || len(f.old) > maxFrames {
		t.Errorf("%d and %d frames are kept, at most %d of each are wanted", len(f.young), len(f.old), maxFrames)
	}
	entries[0].raw = json.RawMessage(`"` + strings.Repeat("x", frameBytes/3) + `"`)
	for i := range 10 {
		get(key(int64(-i-1), 0))
	}
	if f.bytes > frameBytes || len(f.young) > 3 {
		t.Errorf("%d bytes are kept, at most %d are wanted", f.bytes, frameBytes)
	}
}

func TestTheTailIsReplacedNotChanged(t *testing.T) {
	change := func(seq int64) []entry {
		return []entry{{change: chat.Change{Seq: seq}, raw: json.RawMessage(strings.Repeat("x", 100))}}
	}
	old := &tail{from: 5, head: 5}
	for seq := range int64(tailEntries + 100) {
		before := *old
		seen := slices.Clone(before.entries[max(0, len(before.entries)-1):])
		next := old.with(change(6 + seq))
		if old.head != before.head || old.from != before.from || len(old.entries) != len(before.entries) ||
			len(seen) > 0 && old.entries[len(old.entries)-1].change.Seq != seen[0].change.Seq {
			t.Fatal("the old tail has changed")
		}
		old = next
	}
	if len(old.entries) != tailEntries || old.from != 5+100 || old.head != 5+tailEntries+100 || old.bytes != 100*tailEntries {
		t.Errorf("the tail is (%d, %d] with %d entries", old.from, old.head, len(old.entries))
	}
	if _, ok := old.since(old.from - 1); ok {
		t.Error("the tail pretends to reach back further than it does")
	}
	if entries, ok := old.since(old.from); !ok || len(entries) != tailEntries || entries[0].change.Seq != old.from+1 {
		t.Error("the whole tail is not given")
	}
	if entries, ok := old.since(old.head - 1); !ok || len(entries) != 1 || entries[0].change.Seq != old.head {
		t.Error("the last change is not given")
	}
	if entries, ok := old.since(old.head + 3); !ok || len(entries) != 0 {
		t.Error("there is something beyond the head")
	}
}
