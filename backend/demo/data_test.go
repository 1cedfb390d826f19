package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"iter"
	"net/http"
	"reflect"
	"testing"
	"time"

	"parley/backend/chat"
)

const testNow = chat.Time(1_780_000_000_000_000)

func testSet(seed int64) *Set {
	return Generate(Options{Conversations: 1200, Messages: 18_000, Seed: seed, Now: testNow})
}

// digest is a hash over everything the set gives.
func digest(t *testing.T, s *Set) string {
	t.Helper()
	h := sha256.New()
	enc := json.NewEncoder(h)
	put := func(v any) {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	put([]any{s.Workspace, s.Brands, s.Channels, s.Members})
	for f := range s.Files() {
		put(f)
	}
	for th := range s.Conversations() {
		put(th)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestSameSeedSameBytes(t *testing.T) {
	a := digest(t, testSet(1))
	if b := digest(t, testSet(1)); a != b {
		t.Errorf("two runs of one seed differ: %s, %s", a, b)
	}
	if b := digest(t, testSet(2)); a == b {
		t.Error("another seed gives the same data")
	}
}

func TestInterleavedIterationsAgree(t *testing.T) {
	s := testSet(3)
	next1, stop1 := iter.Pull(s.Conversations())
	defer stop1()
	next2, stop2 := iter.Pull(s.Conversations())
	defer stop2()
	for n := 0; ; n++ {
		a, ok1 := next1()
		b, ok2 := next2()
		if ok1 != ok2 {
			t.Fatalf("one iteration ended at %d, the other did not", n)
		}
		if !ok1 {
			return
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("thread %d differs between two iterations", n)
		}
	}
}

func TestCountsAreExact(t *testing.T) {
	for _, o := range []Options{
		{Conversations: 1, Messages: 1}, {Conversations: 10, Messages: 3}, {Conversations: 7, Messages: 1000},
		{Conversations: 1200, Messages: 18_000}, {Conversations: 999, Messages: 1000},
	} {
		o.Now = testNow
		conversations, messages := 0, 0
		for th := range Generate(o).Conversations() {
			conversations++
			messages += len(th.Messages)
		}
		if want := max(o.Messages, o.Conversations); conversations != o.Conversations || messages != want {
			t.Errorf("%+v: %d conversations, %d messages, want %d and %d", o, conversations, messages, o.Conversations, want)
		}
	}
}

func TestThreadsAreTrue(t *testing.T) {
	s := testSet(4)
	files := map[string]int64{}
	for f := range s.Files() {
		files[f.SHA256] = f.Size
	}
	channels := map[chat.ChannelID]chat.Channel{}
	for _, c := range s.Channels {
		channels[c.ID] = c
	}
	ids := map[string]bool{}
	var previous chat.Contact
	for th := range s.Conversations() {
		c := th.Conversation
		if got := c.Recount(th.Messages); !reflect.DeepEqual(got, c) {
			t.Fatalf("recount of %s:\n got %+v\nwant %+v", c.ID, got, c)
		}
		if channels[c.Channel].Brand != c.Brand || th.Contact.Brand != c.Brand || c.Contact != th.Contact.ID {
			t.Fatalf("%s: brand, channel and contact do not fit", c.ID)
		}
		if th.Again != (previous.ID == th.Contact.ID) || th.Again && !reflect.DeepEqual(previous, th.Contact) {
			t.Fatalf("%s: Again is %v, but the contact before is %s", c.ID, th.Again, previous.ID)
		}
		previous = th.Contact
		if !hasIdentity(th.Contact, c) {
			t.Fatalf("%s: the contact has no identity %s on the channel", c.ID, c.Identity)
		}
		if ids[c.ID.String()] {
			t.Fatalf("conversation id %s twice", c.ID)
		}
		ids[c.ID.String()] = true
		at := c.CreatedAt
		for i, m := range th.Messages {
			if ids[m.ID.String()] {
				t.Fatalf("message id %s twice", m.ID)
			}
			ids[m.ID.String()] = true
			if m.Number != int64(i+1) || m.Conversation != c.ID || m.StoredAt < at || m.StoredAt > testNow {
				t.Fatalf("%s message %d: number %d, stored %s after %s", c.ID, i, m.Number, m.StoredAt, at)
			}
			at = m.StoredAt
			checkParts(t, m, files)
		}
	}
}

func hasIdentity(c chat.Contact, conv chat.Conversation) bool {
	for _, id := range c.Identities {
		if id.ID == conv.Identity && id.Channel == conv.Channel {
			return true
		}
	}
	return false
}

func checkParts(t *testing.T, m chat.Message, files map[string]int64) {
	t.Helper()
	if m.Kind == chat.MessageKindEvent {
		if m.Event == nil || m.Event.Name == "" || len(m.Parts) != 0 {
			t.Fatalf("event %s says nothing", m.ID)
		}
		return
	}
	if !m.DeletedAt.IsZero() {
		return
	}
	if err := chat.CheckParts(m.Parts); err != nil {
		t.Fatalf("message %s: %v", m.ID, err)
	}
	for _, p := range m.Parts {
		if p.Kind.IsFile() && files[p.SHA256] != p.Size {
			t.Fatalf("message %s points to a file that is not there", m.ID)
		}
	}
}

func TestVariety(t *testing.T) {
	s := testSet(5)
	seen := map[string]int{}
	today, old, unread, long := 0, 0, 0, 0
	kinds := map[chat.ChannelID]chat.ChannelKind{}
	for _, c := range s.Channels {
		kinds[c.ID] = c.Kind
	}
	for th := range s.Conversations() {
		c := th.Conversation
		for _, v := range []string{"channel " + string(kinds[c.Channel]), "lang " + th.Contact.Language,
			"state " + string(c.State), "status " + string(c.Status)} {
			seen[v]++
		}
		if testNow.Sub(c.LastMessageAt) < 24*time.Hour {
			today++
		}
		if testNow.Sub(c.LastMessageAt) > 180*24*time.Hour {
			old++
		}
		if c.Unread > 0 {
			unread++
		}
		if len(th.Messages) >= 500 {
			long++
		}
		for _, m := range th.Messages {
			seen["author "+string(m.Author.Kind)]++
			if m.Event != nil {
				seen["event "+m.Event.Name]++
			}
			if len(m.Mentions) > 0 {
				seen["mention"]++
			}
			for _, p := range m.Parts {
				seen["part "+string(p.Kind)]++
			}
		}
	}
	want := []string{"mention"}
	for _, k := range []chat.ChannelKind{chat.KindWeb, chat.KindWhatsApp, chat.KindInstagram, chat.KindMessenger, chat.KindFacebook,
		chat.KindTelegram, chat.KindEmail, chat.KindShopify, chat.KindGeneric} {
		want = append(want, "channel "+string(k))
	}
	for _, p := range allPeople() {
		want = append(want, "lang "+p.language)
	}
	for _, e := range []string{"escalated", "requested", "accepted", "assigned", "released", "resolved", "reopened"} {
		want = append(want, "event "+e)
	}
	for _, st := range []chat.HandoffState{chat.StateAssistant, chat.StateEscalated, chat.StateRequested, chat.StateAgent, chat.StatePaused, chat.StateClosed} {
		want = append(want, "state "+string(st))
	}
	want = append(want, "status open", "status resolved", "status closed", "author customer", "author member", "author assistant",
		"part text", "part image", "part voice", "part file", "part location", "part link", "part paid")
	for _, v := range want {
		if seen[v] == 0 {
			t.Errorf("nothing with %s", v)
		}
	}
	if today < 60 || old < 30 || unread < 60 || long == 0 {
		t.Errorf("of 1200: %d today, %d older than half a year, %d unread, %d long threads", today, old, unread, long)
	}
}

// The backend refuses two contacts with one address on a channel, and by chance alone a hundred thousand would have some.
func TestAddressesAreUnique(t *testing.T) {
	type address struct {
		channel chat.ChannelID
		address string
	}
	seen := map[address]bool{}
	set := Generate(Options{Conversations: 200_000, Messages: 200_000, Seed: 1, Now: testNow})
	for k := range 200_000 {
		if first, _ := contactOf(k); first != k {
			continue
		}
		for _, id := range set.person(k).contact.Identities {
			key := address{id.Channel, id.Address}
			if id.Address == "" || seen[key] {
				t.Fatalf("contact %d: the address %q is taken", k, id.Address)
			}
			seen[key] = true
		}
	}
	if len(seen) < 150_000 {
		t.Fatalf("only %d addresses", len(seen))
	}
}

func TestCompany(t *testing.T) {
	s := testSet(6)
	roles, scoped := map[chat.Role]int{}, 0
	for _, m := range s.Members {
		roles[m.Role]++
		if len(m.Brands) > 0 {
			scoped++
		}
	}
	want := map[chat.Role]int{chat.RoleOwner: 1, chat.RoleAdmin: 1, chat.RoleSupervisor: 1, chat.RoleAgent: 5}
	if !reflect.DeepEqual(roles, want) || scoped != 1 || len(s.Brands) != 3 {
		t.Errorf("roles %v, %d scoped, %d brands", roles, scoped, len(s.Brands))
	}
}

func TestFilesAreWhatTheySay(t *testing.T) {
	n := 0
	for f := range testSet(7).Files() {
		n++
		sum := sha256.Sum256(f.Data)
		if hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(f.Data)) != f.Size {
			t.Errorf("%s: hash or size is wrong", f.Name)
		}
		if got := http.DetectContentType(f.Data); got != f.Type {
			t.Errorf("%s is %s, sniffed as %s", f.Name, f.Type, got)
		}
		if f.Type == "image/png" || f.Type == "image/jpeg" {
			if _, _, err := image.Decode(bytes.NewReader(f.Data)); err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
		}
	}
	if n == 0 || n > 40 {
		t.Errorf("%d files, want 1 to 40", n)
	}
}

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for th := range Generate(Options{Conversations: 2000, Messages: 60_000, Seed: 1, Now: testNow}).Conversations() {
			n += len(th.Messages)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}
