package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop"
	"parley/backend/protocol"
)

// How the fault tests are run; docs/develop.md says what for.
var (
	faultsSeed    = flag.Uint64("faults.seed", 0, "seed of the instants at which faults strike; 0 draws one and prints it")
	faultsMany    = flag.Bool("faults.many", false, "the nightly numbers")
	socketsRaw    = flag.String("sockets.raw", "", "be the server on this address that sockets are measured against")
	faultsDesktop = flag.String("faults.desktop", "", "be the desktop that writes on this folder until it is killed")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *socketsRaw != "" {
		os.Exit(serveRawSockets(*socketsRaw))
	}
	if *faultsDesktop != "" {
		os.Exit(driveDesktop(*faultsDesktop, *faultsSeed, os.Stdout))
	}
	// The tests that may run beside each other wait for most of their time.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// often is how many of something a test does: few with every change, many at night.
func often(few, many int) int {
	if *faultsMany {
		return many
	}
	return few
}

// chance makes the random points of a test. What fails with a seed is run again with -faults.seed.
func chance(t testing.TB) *rand.Rand {
	t.Helper()
	seed := *faultsSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("the same again: go test -tags sqlite_fts5 -run '^%s$' ./e2e -faults.seed=%d", t.Name(), seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// longPatience is how long a test waits for much work to be done.
const longPatience = 3 * time.Minute

// eventually is Until for what may take long.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(longPatience)
	defer end.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-end.C:
			t.Fatalf("waited %s in vain for: %s", longPatience, what)
		case <-look.C:
		}
	}
}

// personAt is a member who uses the protocol directly, at any server.
func personAt(t testing.TB, address, email string) *person {
	t.Helper()
	return personWith(t, address, email, ownerPassword)
}

func personWith(t testing.TB, address, email, password string) *person {
	t.Helper()
	c, err := protocol.NewClient(address, "", "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	who, err := c.SignIn(t.Context(), protocol.SignIn{Email: email, Password: password, Device: "another desk"})
	if err != nil {
		t.Fatalf("sign in as %s: %v", email, err)
	}
	return &person{t, c.WithToken(who.Token), who}
}

// everything gives a whole thread as the server has it.
func (p *person) everything(conv chat.ConversationID) (out []chat.Message) {
	p.t.Helper()
	for {
		after := int64(0)
		if len(out) > 0 {
			after = out[len(out)-1].Number
		}
		page, err := p.client.Messages(p.t.Context(), conv, protocol.MessagesQuery{After: after, Limit: 200})
		if after == 0 { // the newest are asked for without After: begin at the first
			page, err = p.client.Messages(p.t.Context(), conv, protocol.MessagesQuery{Before: 201, Limit: 200})
		}
		if err != nil {
			p.t.Fatalf("read thread: %v", err)
		}
		for _, raw := range page.Messages {
			var m chat.Message
			if err := json.Unmarshal(raw, &m); err != nil {
				p.t.Fatalf("read message: %v", err)
			}
			out = append(out, m)
		}
		if len(page.Messages) == 0 || page.Range[1] >= page.Head {
			return out
		}
	}
}

// buyer is a customer who writes through the protocol's own routes and repeats what was not acknowledged.
type buyer struct {
	t           testing.TB
	base, token string
	client      *http.Client
}

func newBuyer(t testing.TB, base, channel string) *buyer {
	t.Helper()
	b := &buyer{t: t, base: base, client: &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}}
	t.Cleanup(b.client.CloseIdleConnections)
	var s protocol.VisitorSessionAnswer
	if err := b.call(t.Context(), http.MethodPost, "/v1/visitor/session", protocol.VisitorSession{Channel: channel}, &s); err != nil {
		t.Fatalf("begin as a customer: %v", err)
	}
	b.token = s.VisitorToken
	return b
}

func (b *buyer) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, b.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if b.token != "" {
		req.Header.Set("Authorization", "Visitor "+b.token)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode > 299:
		return fmt.Errorf("%s: %d %s", path, resp.StatusCode, answer)
	}
	return json.Unmarshal(answer, out)
}

// says writes until it is acknowledged, as the widget does: the same id again.
func (b *buyer) says(ctx context.Context, text string) error {
	send := protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: text}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		var sent protocol.VisitorSent
		err := b.call(ctx, http.MethodPost, "/v1/visitor/messages", send, &sent)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// sees gives the texts that the customer reads, in order.
func (b *buyer) sees() (texts []string) {
	b.t.Helper()
	for after := int64(0); ; {
		var page protocol.VisitorMessages
		if err := b.call(b.t.Context(), http.MethodGet, fmt.Sprintf("/v1/visitor/messages?after=%d", after), struct{}{}, &page); err != nil {
			b.t.Fatalf("read as a customer: %v", err)
		}
		for _, m := range page.Messages {
			texts = append(texts, m.Parts[0].Text)
		}
		if page.To <= after || len(page.Messages) == 0 {
			return texts
		}
		after = page.To
	}
}

// talk is a conversation with the customer in it.
type talk struct {
	id    chat.ConversationID
	buyer *buyer
}

// begin lets a customer write and gives the conversation once the engine has it.
func begin(e *engine, base, channel, text string) talk {
	e.t.Helper()
	b := newBuyer(e.t, base, channel)
	if err := b.says(e.t.Context(), text); err != nil {
		e.t.Fatalf("say %q: %v", text, err)
	}
	return talk{e.find(text).ID, b}
}

// ledger notes what was accepted: by the server from a customer, or by the engine, on disk, from an agent.
type ledger struct {
	mu    sync.Mutex
	texts []string
	maybe map[string]bool // nobody knows: once or not at all
}

func (l *ledger) accepted(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts = append(l.texts, text)
	return len(l.texts)
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.texts)
}

// settle waits until all is quiet again and then holds everybody to the promises: each accepted text is on the server
// once, or stands visibly refused at its author's desk; every desk shows what the server has, in the same order; every
// customer has read each text once; nothing is left in an outbox.
func settle(t testing.TB, owner *person, said *ledger, talks []talk, engines ...*engine) {
	t.Helper()
	refused := map[string]int{}
	for i, e := range engines {
		eventually(t, fmt.Sprintf("desk %d to have sent everything and to know everything", i), func() bool {
			s := e.state()
			return s.Connection.Status == "live" && s.Connection.Position == s.Connection.Head && s.Outbox.Queued == 0
		})
		unsent, err := e.Unsent()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range unsent {
			if u.Kind != desktop.KindDraft {
				refused[u.Text]++
			}
		}
	}
	on := map[string]int{}
	for _, c := range talks {
		thread := owner.everything(c.id)
		var spoken []string
		for i, m := range thread {
			if m.Number != int64(i+1) {
				t.Fatalf("the server's thread jumps from %d to %d", i, m.Number)
			}
			if m.Kind == chat.MessageKindMessage {
				on[m.Text()]++
				spoken = append(spoken, m.Text())
			}
		}
		for i, e := range engines {
			eventually(t, fmt.Sprintf("desk %d to show the thread as the server has it", i), func() bool { return slices.Equal(e.ids(c.id), ids(thread)) })
		}
		if got := c.buyer.sees(); !slices.Equal(got, spoken) {
			t.Errorf("the customer reads\n%q, the server has\n%q", got, spoken)
		}
	}
	said.mu.Lock()
	defer said.mu.Unlock()
	for _, text := range said.texts {
		if on[text]+refused[text] != 1 {
			t.Errorf("%q was accepted; it is %d times on the server and %d times refused", text, on[text], refused[text])
		}
	}
	for text := range said.maybe {
		if on[text]+refused[text] > 1 {
			t.Errorf("%q is %d times on the server and %d times refused", text, on[text], refused[text])
		}
	}
	if len(said.texts) == 0 {
		t.Error("nothing was said")
	}
}

func ids(thread []chat.Message) (out []string) {
	for _, m := range thread {
		out = append(out, fmt.Sprint(m.Number, " ", m.ID, " ", m.Ver))
	}
	return out
}

// ids reads a whole thread from the engine; nil while there is a hole in it.
func (e *engine) ids(conv chat.ConversationID) []string {
	e.t.Helper()
	var all []chat.Message
	for before := int64(0); ; {
		page := e.thread(conv, desktop.ThreadQuery{Before: before, Limit: 200})
		if page.Loading {
			return nil
		}
		part := make([]chat.Message, len(page.Messages))
		for i, raw := range page.Messages {
			if err := json.Unmarshal(raw, &part[i]); err != nil {
				e.t.Fatal(err)
			}
		}
		all = append(part, all...)
		if page.Complete || page.From <= 1 || len(part) == 0 {
			return ids(all)
		}
		before = page.From
	}
}

// agent writes into talks through an engine until it has had enough accepted.
type agent struct {
	e     *engine
	name  string
	talks []talk
}

// writes sends n texts, in turn to each talk, never more than a handful ahead of the line.
func (a agent) writes(ctx context.Context, n int, said *ledger) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for i := range n {
		for {
			s, err := a.e.State()
			if err != nil {
				return err
			}
			if s.Outbox.Queued < 30 {
				break
			}
			select {
			case <-look.C:
			case <-ctx.Done():
				return fmt.Errorf("%d texts wait to go out: %w", s.Outbox.Queued, ctx.Err())
			}
		}
		c := a.talks[i%len(a.talks)]
		text := fmt.Sprintf("%s-%d", a.name, i)
		page, err := a.e.Thread(c.id.String(), desktop.ThreadQuery{Limit: 1})
		if err != nil {
			return err
		}
		if _, err := a.e.Send(c.id.String(), desktop.NewMessage{Text: text, Seen: page.Head}); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		said.accepted(text)
	}
	return nil
}

// staff starts a server process with three members who need not pause between messages, and gives their addresses.
func staff(t testing.TB) (*Server, []string) {
	t.Helper()
	srv := NewServer(t)
	srv.Stop()
	emails := []string{ownerEmail, "ana@example.com", "ben@example.com"}
	for _, email := range emails[1:] {
		name, _, _ := strings.Cut(email, "@")
		srv.Admin(ownerPassword, "member add", "--email", email, "--name", name, "--role", "agent", "--password-stdin")
	}
	srv.Start()
	personAt(t, srv.URL(), ownerEmail).command(protocol.SettingsPut, map[string]any{"send_interval_seconds": 0}, nil)
	return srv, emails
}
