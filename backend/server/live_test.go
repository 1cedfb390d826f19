package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// live is a member's socket as a client sees it.
type live struct {
	t    testing.TB
	conn *websocket.Conn
	pos  int64
}

// frame is any frame, its changes left as they came.
type frame struct {
	protocol.Frame
	From    *int64            `json:"from"`
	To      *int64            `json:"to"`
	Head    *int64            `json:"head"`
	Beat    float64           `json:"beat"`
	Changes []json.RawMessage `json:"changes"`
}

func (r *rig) dial(token string, headers ...string) *live {
	r.Helper()
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(r.base, "http")+"/v1/live", h)
	if err != nil {
		r.Fatalf("dial: %v", err)
	}
	if resp.Header.Get(protocol.VersionHeader) != protocol.Version {
		r.Error("the handshake does not say which protocol it speaks")
	}
	r.Cleanup(func() { conn.Close() })
	return &live{t: r, conn: conn}
}

// join dials, says hello after a position and reads the welcome.
func (r *rig) join(token string, after int64) *live {
	r.Helper()
	l := r.dial(token)
	l.put(map[string]any{"type": "hello", "after": after, "client": "test/1"})
	f := l.next()
	if f.Type != protocol.FrameWelcome || f.Head == nil || f.Epoch == "" || f.Beat <= 0 {
		r.Fatalf("welcome: %+v", f)
	}
	l.pos = after
	return l
}

func (r *rig) head() int64 {
	r.Helper()
	var page protocol.ChangesPage
	r.get("/v1/changes?after=0&limit=1", r.owner.Token, &page)
	return page.Head
}

func (l *live) put(v any) {
	l.t.Helper()
	if err := l.conn.WriteJSON(v); err != nil {
		l.t.Fatalf("write frame: %v", err)
	}
}

func (l *live) read() (frame, error) {
	var f frame
	_ = l.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	err := l.conn.ReadJSON(&f)
	return f, err
}

func (l *live) next() frame {
	l.t.Helper()
	f, err := l.read()
	if err != nil {
		l.t.Fatalf("read frame: %v", err)
	}
	return f
}

// want reads until a frame of the type, keeping the packet rule on the way.
func (l *live) want(kind protocol.FrameType) frame {
	l.t.Helper()
	for {
		f := l.next()
		if f.Type == protocol.FrameChanges {
			l.packet(f)
		}
		if f.Type == kind {
			return f
		}
	}
}

// packet checks a packet against the position, which it moves.
func (l *live) packet(f frame) []chat.Change {
	l.t.Helper()
	if f.From == nil || f.To == nil || f.Changes == nil {
		l.t.Fatalf("a packet lacks from, to or changes: %+v", f)
	}
	if *f.From != l.pos || *f.To < *f.From {
		l.t.Fatalf("packet (%d, %d] at position %d", *f.From, *f.To, l.pos)
	}
	l.pos = *f.To
	var out []chat.Change
	last := *f.From
	for _, raw := range f.Changes {
		var c chat.Change
		if err := json.Unmarshal(raw, &c); err != nil {
			l.t.Fatal(err)
		}
		if c.Seq <= last || c.Seq > *f.To {
			l.t.Fatalf("change %d in packet (%d, %d] after %d", c.Seq, *f.From, *f.To, last)
		}
		last = c.Seq
		out = append(out, c)
	}
	return out
}

// upto reads changes until the position is reached.
func (l *live) upto(pos int64) []chat.Change {
	l.t.Helper()
	var out []chat.Change
	for l.pos < pos {
		f := l.next()
		if f.Type == protocol.FrameChanges {
			out = append(out, l.packet(f)...)
		}
	}
	return out
}

// closed reads until the socket ends and gives the code.
func (l *live) closed() (int, string) {
	l.t.Helper()
	for {
		f, err := l.read()
		if err == nil {
			if f.Type == protocol.FrameChanges {
				l.packet(f)
			}
			continue
		}
		var ce *websocket.CloseError
		if !errors.As(err, &ce) {
			l.t.Fatalf("the socket broke off: %v", err)
		}
		return ce.Code, ce.Text
	}
}

func TestTheSocketCatchesUpAndFollows(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.unpaced()
		conv, v := r.conversation()
		head := r.head()
		l := r.join(r.owner.Token, 0)
		if got := l.upto(head); int64(len(got)) != head {
			t.Fatalf("%d changes to position %d: an owner sees every one", len(got), head)
		}
		v.say("live")
		res := r.apply(r.owner.Token, text(conv, "live too"), nil)
		found := false
		for _, c := range l.upto(res.Seq) {
			found = found || c.Kind == chat.EntityMessage && c.Seq == res.Seq
		}
		if !found {
			t.Fatal("the message did not come over the socket")
		}
	})
}

func TestEveryPositionOfThePacketRuleHoldsUnderLoad(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	brand := r.addBrand("Second")
	ana := r.member("Ana", chat.RoleAgent, r.created.Brand)
	conv, _ := r.conversation()
	start := r.head()
	sockets := []*live{r.join(r.owner.Token, start), r.join(ana.Token, start), r.join(r.owner.Token, 0)}

	const writers, each = 4, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			v := r.visit([]string{r.created.Channel.Key, brand.Key}[w%2])
			for i := range each {
				v.saying(fmt.Sprintf("%d %d", w, i))
			}
		}()
	}
	wg.Wait()
	last := r.apply(r.owner.Token, text(conv, "the end"), nil)
	end := last.Seq
	for i, l := range sockets {
		from := l.pos
		got := l.upto(end)
		token := []string{r.owner.Token, ana.Token, r.owner.Token}[i]
		want := r.changes(token, from, l.pos)
		if len(got) != len(want) {
			t.Fatalf("socket %d: %d changes, the log has %d", i, len(got), len(want))
		}
		for j := range got {
			if got[j].Seq != want[j].Seq {
				t.Fatalf("socket %d: change %d is %d, want %d", i, j, got[j].Seq, want[j].Seq)
			}
		}
	}
}

// saying is say without looking for the conversation, for goroutines.
func (v *visitor) saying(text string) {
	a := v.r.do(http.MethodPost, "/v1/visitor/messages", v.token, protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: text})
	if a.status >= 300 {
		v.r.Errorf("visitor message: %d %s", a.status, clip(a.body))
	}
}

// changes pages through the log.
func (r *rig) changes(token string, after, upto int64) []chat.Change {
	r.Helper()
	var out []chat.Change
	for after < upto {
		var page protocol.ChangesPage
		r.get(fmt.Sprintf("/v1/changes?after=%d&limit=37", after), token, &page)
		if page.From != after || page.To <= after {
			r.Fatalf("page (%d, %d] after %d", page.From, page.To, after)
		}
		for _, c := range page.Changes {
			if c.Seq <= upto {
				out = append(out, c)
			}
		}
		after = page.To
	}
	return out
}

func TestWhatAMemberMayNotSeeNeverComes(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	second := r.addBrand("Second")
	ana := r.member("Ana", chat.RoleAgent, second.Brand)
	conv, v := r.conversation() // in the first brand
	l := r.join(ana.Token, 0)
	v.say("not for Ana")
	mine := r.visit(second.Key)
	mine.say("for Ana")
	end := r.head()
	for _, c := range l.upto(end) {
		if c.Brand != second.Brand && !c.Brand.IsZero() {
			t.Errorf("change %d of a foreign brand: %s", c.Seq, c.Kind)
		}
	}
	for _, path := range []string{"/v1/conversations/" + conv.String(), "/v1/conversations/" + conv.String() + "/messages"} {
		if a := r.do(http.MethodGet, path, ana.Token, nil); a.status != http.StatusNotFound || a.problem(t).Code != chat.CodeNotFound {
			t.Errorf("GET %s: %d", path, a.status)
		}
	}
	for _, c := range []chat.Command{text(conv, "Hi"), cmd(protocol.ConversationResolve, map[string]any{"conversation": conv}),
		cmd(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Text: "x"})} {
		r.refuse(ana.Token, c, chat.CodeNotFound)
	}
	var page protocol.ConversationsPage
	r.get("/v1/conversations", ana.Token, &page)
	if len(page.Conversations) != 1 {
		t.Errorf("Ana lists %d conversations, want 1", len(page.Conversations))
	}
}

func TestAnOpenSocketFollowsAChangeOfAccess(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	second := r.addBrand("Second")
	ana := r.member("Ana", chat.RoleAgent, r.created.Brand)
	first, other := r.visit(r.created.Channel.Key), r.visit(second.Key)
	l := r.join(ana.Token, r.head())

	first.say("before")
	brands := []chat.BrandID{second.Brand}
	r.patch(ana.Member.ID, protocol.MemberUpdate{Brands: &brands})
	first.say("lost")
	other.say("gained")
	seenAccess := false
	for _, c := range l.upto(r.head()) {
		switch {
		case c.Kind == chat.EntityAccess:
			seenAccess = true
		case c.Brand == r.created.Brand && seenAccess:
			t.Errorf("change %d of the brand that was taken away", c.Seq)
		case c.Brand == second.Brand && !seenAccess:
			t.Errorf("change %d of the brand before it was given", c.Seq)
		}
	}
	if !seenAccess {
		t.Fatal("no access change came")
	}

	// Disabled: the log says so, then the socket ends with 4002, and the token
	// is dead and asks for the wipe.
	yes, before := true, r.head()
	devices := []*live{l}
	for range 20 {
		devices = append(devices, r.join(ana.Token, before))
	}
	r.patch(ana.Member.ID, protocol.MemberUpdate{Disabled: &yes})
	for _, l := range devices {
		if code, _ := l.closed(); code != protocol.CloseRevoked {
			t.Fatalf("closed with %d, want 4002", code)
		}
		if l.pos <= before {
			t.Error("a socket ended before it heard why")
		}
	}
	p := r.do(http.MethodGet, "/v1/changes?after=0", ana.Token, nil).problem(t)
	if p.Status != http.StatusUnauthorized || !p.Wipe {
		t.Fatalf("problem %+v", p)
	}
	// Pages of the log go by what the member may see now, too.
	if a := r.do(http.MethodPost, "/v1/session", "", protocol.SignIn{Email: "ana@northwind.example", Password: password}); a.problem(t).Code != chat.CodeBadCredentials {
		t.Fatalf("a disabled member signs in: %d", a.status)
	}
}

func (r *rig) patch(id chat.MemberID, u protocol.MemberUpdate) chat.Member {
	r.Helper()
	a := r.do(http.MethodPatch, "/v1/members/"+id.String(), r.owner.Token, u)
	if a.status != http.StatusOK {
		r.Fatalf("change member: %d %s", a.status, a.body)
	}
	var m chat.Member
	a.into(r, &m)
	return m
}

func TestSocketsEndWithTheirSession(t *testing.T) {
	r := newRig(t, onSQLite(t))
	r.member("Ana", chat.RoleAgent)
	laptop, phone := r.signIn("ana@northwind.example", "laptop"), r.signIn("ana@northwind.example", "phone")
	l, p := r.join(laptop.Token, 0), r.join(phone.Token, 0)

	var list protocol.Sessions
	r.get("/v1/sessions", laptop.Token, &list)
	if len(list.Sessions) != 3 || list.Current != laptop.Session {
		t.Fatalf("sessions %+v", list)
	}
	// Another device is revoked: wipe.
	if a := r.do(http.MethodDelete, "/v1/sessions/"+phone.Session.String(), laptop.Token, nil); a.status != http.StatusNoContent {
		t.Fatalf("revoke: %d %s", a.status, a.body)
	}
	if code, _ := p.closed(); code != protocol.CloseRevoked {
		t.Fatalf("closed with %d, want 4002", code)
	}
	if pr := r.do(http.MethodGet, "/v1/sessions", phone.Token, nil).problem(t); !pr.Wipe {
		t.Fatal("a revoked device is not told to wipe")
	}
	// Signing out oneself: no wipe.
	if a := r.do(http.MethodDelete, "/v1/session", laptop.Token, nil); a.status != http.StatusNoContent {
		t.Fatalf("sign out: %d", a.status)
	}
	if code, _ := l.closed(); code != protocol.CloseSignedOut {
		t.Fatalf("closed with %d, want 4001", code)
	}
	if pr := r.do(http.MethodGet, "/v1/sessions", laptop.Token, nil).problem(t); pr.Wipe || pr.Code != chat.CodeUnauthorized {
		t.Fatalf("problem %+v", pr)
	}
	// Somebody else's session is not there.
	if a := r.do(http.MethodDelete, "/v1/sessions/"+r.owner.Session.String(), r.signIn("ana@northwind.example", "x").Token, nil); a.status != http.StatusNotFound {
		t.Fatalf("revoking a foreign session: %d", a.status)
	}
}

func TestAHandshakeThatIsNotOne(t *testing.T) {
	r := newRig(t, onSQLite(t))
	hello := map[string]any{"type": "hello", "after": 0}
	for _, c := range []struct {
		name    string
		token   string
		headers []string
		first   any
		want    int
	}{
		{"token in the first frame is wrong", "", nil, map[string]any{"type": "hello", "after": 0, "token": "nonsense"}, protocol.CloseSignedOut},
		{"no token at all", "", nil, hello, protocol.CloseSignedOut},
		{"not a hello", r.owner.Token, nil, map[string]any{"type": "typing"}, websocket.ClosePolicyViolation},
		{"wrong types", r.owner.Token, nil, map[string]any{"type": "hello", "after": "x"}, websocket.ClosePolicyViolation},
		{"another protocol", r.owner.Token, []string{protocol.VersionHeader, "2"}, hello, protocol.CloseTooOld},
		{"a huge frame", r.owner.Token, nil, map[string]any{"type": "hello", "client": strings.Repeat("x", 100<<10)}, websocket.CloseMessageTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := r.dial(c.token, c.headers...)
			l.t = t
			_ = l.conn.WriteJSON(c.first) // the server may already have hung up; the code tells
			if code, _ := l.closed(); code != c.want {
				t.Errorf("closed with %d, want %d", code, c.want)
			}
		})
	}
	if _, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(r.base, "http")+"/v1/live",
		http.Header{"Authorization": {"Bearer nonsense"}}); err == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a wrong token in the header: %v, want 401", resp)
	}
	l := r.dial("")
	l.put(map[string]any{"type": "hello", "after": 0, "token": r.owner.Token})
	if f := l.next(); f.Type != protocol.FrameWelcome {
		t.Errorf("the token in the first frame: %+v", f)
	}
}

func TestAPositionOfAnotherHistoryIsBehind(t *testing.T) {
	r := newRig(t, onSQLite(t))
	for name, hello := range map[string]map[string]any{
		"beyond the head": {"type": "hello", "after": 1 << 40},
		"another epoch":   {"type": "hello", "after": 0, "epoch": "of another log"},
	} {
		l := r.dial(r.owner.Token)
		l.put(hello)
		l.next()
		if f := l.next(); f.Type != protocol.FrameBehind || f.Head == nil || *f.Head != r.head() {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for _, q := range []string{"after=99999999", "after=0&epoch=other"} {
		if p := r.do(http.MethodGet, "/v1/changes?"+q, r.owner.Token, nil).problem(t); p.Status != http.StatusGone || p.Code != chat.CodeReset {
			t.Errorf("%s: %+v", q, p)
		}
	}
}

func TestBeatsMoveThePosition(t *testing.T) {
	c := onSQLite(t)
	c.Beat = 50 * time.Millisecond
	r := newRig(t, c).unpaced()
	second := r.addBrand("Second")
	ana := r.member("Ana", chat.RoleAgent, second.Brand)
	l := r.join(ana.Token, r.head())
	r.conversation() // nothing of it is for Ana
	head := r.head()
	for l.pos < head {
		f := l.want(protocol.FrameBeat)
		if f.Head == nil || *f.Head != l.pos || f.At.IsZero() {
			t.Fatalf("beat %+v at position %d", f, l.pos)
		}
	}
}

func TestTypingReachesColleaguesAndTheCustomer(t *testing.T) {
	r := newRig(t, onSQLite(t))
	second := r.addBrand("Second")
	ana, ben := r.member("Ana", chat.RoleAgent), r.member("Ben", chat.RoleAgent, second.Brand)
	conv, v := r.conversation()
	head := r.head()
	a, o, b := r.join(ana.Token, head), r.join(r.owner.Token, head), r.join(ben.Token, head)
	o.put(map[string]any{"type": "typing", "conversation": conv, "ttl": 6})
	f := a.want(protocol.FrameTyping)
	if f.Conversation != conv || f.Member != r.owner.Member.ID || f.TTL != 6 {
		t.Fatalf("typing %+v", f)
	}
	o.put(map[string]any{"type": "viewing", "conversation": conv})
	if f := a.want(protocol.FrameViewing); f.Member != r.owner.Member.ID || f.TTL == 0 {
		t.Fatalf("viewing %+v", f)
	}
	o.put(map[string]any{"type": "of the future", "x": 1}) // ignored
	o.put(map[string]any{"type": "typing", "conversation": 7})
	o.put(map[string]any{"type": "presence", "status": "away"})
	if f := b.next(); f.Type != protocol.FramePresence || f.Status != "away" {
		t.Fatalf("Ben does not see the brand, so presence is the first he hears: %+v", f)
	}
	visitor, err := r.srv.Inbox().Visitor(context.Background(), strings.TrimPrefix(v.token, "Visitor "))
	if err != nil {
		t.Fatal(err)
	}
	r.srv.Inbox().VisitorTyping(context.Background(), visitor)
	if f := a.want(protocol.FrameTyping); f.Contact.IsZero() || !f.Member.IsZero() {
		t.Fatalf("a customer's typing: %+v", f)
	}
}

// TestAClientThatDoesNotReadIsSentAway: a socket whose client takes nothing is
// closed with 4008 after the frame that was stuck, and a new one goes on from
// the position that was reached.
func TestAClientThatDoesNotReadIsSentAway(t *testing.T) {
	c := onSQLite(t)
	c.Slow = 50 * time.Millisecond
	r := newRig(t, c).unpaced()
	conv, _ := r.conversation()
	l := r.join(r.owner.Token, r.head())
	long := strings.Repeat("0123456789", 1000)
	slow := func() bool {
		return strings.Contains(string(r.do(http.MethodGet, "/metrics", "", nil).body), "parley_sockets_slow_total 1")
	}
	for range 100 { // until every buffer on the way is full
		cmds := make([]chat.Command, 50)
		for i := range cmds {
			cmds[i] = cmd(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Text: long})
		}
		r.send(r.owner.Token, cmds...)
		if slow() {
			break
		}
	}
	if code, _ := l.closed(); code != protocol.CloseTooSlow {
		t.Fatalf("closed with %d, want 4008", code)
	}
	again := r.join(r.owner.Token, l.pos)
	again.upto(r.head())
}

func TestDrainSendsSocketsElsewhereAndFinishesRequests(t *testing.T) {
	c := onSQLite(t)
	c.DrainPause = 300 * time.Millisecond
	r := newRig(t, c)
	l := r.join(r.owner.Token, 0)
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		done <- r.srv.Shutdown(ctx)
	}()
	code, reason := l.closed()
	var why struct {
		RetryAfter float64 `json:"retry_after"`
	}
	if code != protocol.CloseRestarting || json.Unmarshal([]byte(reason), &why) != nil || why.RetryAfter <= 0 {
		t.Fatalf("closed with %d %q", code, reason)
	}
	// The socket is told after the server has become unready.
	if a := r.do(http.MethodGet, "/readyz", "", nil); a.status != http.StatusServiceUnavailable {
		t.Errorf("readyz while draining: %d", a.status)
	}
	if a := r.do(http.MethodGet, "/healthz", "", nil); a.status != http.StatusOK {
		t.Errorf("healthz while draining: %d", a.status)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
