package simulation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// ServeHTTP answers as the contract says.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.busy.Add(1)
	defer s.busy.Done()
	w.Header().Set(protocol.VersionHeader, protocol.Version)
	if r.Method == http.MethodPost && r.URL.Path == "/v1/session" {
		s.signIn(w, r)
		return
	}
	if r.URL.Path == "/v1/visitor/messages" {
		s.visitors(w, r)
		return
	}
	me, ok := s.who(r)
	if !ok {
		problem(w, chat.Errorf(chat.CodeUnauthorized, "Sign in first."))
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	if strings.HasPrefix(path, "conversations") && !s.isEpoch(r.URL.Query().Get("epoch")) {
		problem(w, chat.Errorf(chat.CodeReset, "This is another log."))
		return
	}
	switch rest, messages := strings.CutSuffix(path, "/messages"); {
	case path == "live":
		s.live(w, r, me)
	case path == "commands":
		s.commands(w, r, me)
	case path == "changes":
		s.changes(w, r, me)
	case path == "bootstrap":
		s.bootstrap(w, r, me)
	case path == "conversations":
		s.conversations(w, r, me)
	case path == "state":
		s.state(w, r, me)
	case path == "digest":
		s.digest(w, r, me)
	case messages:
		s.history(w, r, me, strings.TrimPrefix(rest, "conversations/"))
	default:
		problem(w, chat.Errorf(chat.CodeNotFound, "There is no such address."))
	}
}

// isEpoch reports whether an epoch, if any is named, is that of the log.
func (s *server) isEpoch(epoch string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return epoch == "" || epoch == s.epoch
}

func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	var in protocol.SignIn
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		problem(w, chat.Invalid("body", "not JSON"))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		if m.Email == in.Email {
			answer(w, http.StatusCreated, protocol.SignedIn{Token: m.ID.String(), Member: *m, Workspace: s.ws})
			return
		}
	}
	problem(w, chat.Errorf(chat.CodeBadCredentials, "Wrong."))
}

func (s *server) who(r *http.Request) (chat.MemberID, bool) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, err := chat.ParseID[chat.Member](token)
	return id, ok && err == nil
}

func problem(w http.ResponseWriter, err error) {
	p := protocol.ProblemOf(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // who asked has gone: nobody to tell
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // as above
}

// sees says whether a member may see a change.
func (s *server) sees(m *chat.Member, c chat.Change) bool {
	if !c.Member.IsZero() && c.Member != m.ID {
		return false
	}
	return chat.ViewOf(*m).Sees(c.Brand)
}

// packet gives what a member may see after a position, at most a page.
func (s *server) packet(me chat.MemberID, after int64) protocol.Packet {
	p := protocol.Packet{From: after, To: after, Changes: []chat.Change{}}
	m := s.members[me]
	for p.To < s.head() && len(p.Changes) < pageChanges {
		c := s.log[p.To]
		p.To++
		if s.sees(m, c) && !s.hidden[c.Seq] {
			p.Changes = append(p.Changes, c)
		}
	}
	return p
}

// reachable says whether the log can be read after a position.
func (s *server) reachable(after int64, epoch string) error {
	switch {
	case epoch != "" && epoch != s.epoch || after > s.head():
		return chat.Errorf(chat.CodeReset, "This is another log.")
	case after < s.trimmed || s.head()-after > farBehind:
		return chat.Errorf(chat.CodeFarBehind, "Too far behind.")
	}
	return nil
}

func number(r *http.Request, name string) int64 {
	n, _ := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
	return n
}

func (s *server) changes(w http.ResponseWriter, r *http.Request, me chat.MemberID) {
	s.mu.Lock()
	after := number(r, "after")
	err := s.reachable(after, r.URL.Query().Get("epoch"))
	p := protocol.ChangesPage{Epoch: s.epoch, Head: s.head()}
	if err == nil {
		p.Packet = s.packet(me, after)
		p.More = p.To < p.Head
	}
	s.mu.Unlock()
	if err != nil {
		problem(w, err)
		return
	}
	answer(w, http.StatusOK, p)
}

func (s *server) history(w http.ResponseWriter, r *http.Request, me chat.MemberID, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	conv, err := chat.ParseID[chat.Conversation](id)
	t := s.threads[conv]
	if err != nil || t == nil || !chat.ViewOf(*s.members[me]).Sees(t.Brand) {
		problem(w, chat.Errorf(chat.CodeNotFound, "This conversation does not exist, or not for you."))
		return
	}
	limit := min(cmp.Or(number(r, "limit"), pageMessages), pageMessages)
	lo, hi := max(1, t.LastNumber-limit+1), t.LastNumber
	if before := number(r, "before"); before > 0 {
		hi = min(before-1, t.LastNumber)
		lo = max(1, hi-limit+1)
	} else if after := number(r, "after"); after > 0 {
		lo, hi = after+1, min(after+limit, t.LastNumber)
	} else if around := number(r, "around"); around > 0 {
		lo, hi = max(1, around-limit/2), min(t.LastNumber, around+limit/2)
	}
	page := protocol.MessagesPage{Head: t.LastNumber, Messages: []chat.Message{}}
	if lo <= hi {
		page.Range = [2]int64{lo, hi}
		page.Messages = t.messages[lo-1 : hi]
	}
	answer(w, http.StatusOK, page)
}

// conversations answers the first page of a list, and what is wanted with it.
func (s *server) conversations(w http.ResponseWriter, r *http.Request, me chat.MemberID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	fits := func(t *thread) bool {
		return (q.Get("brand") == "" || q.Get("brand") == t.Brand.String()) &&
			(q.Get("unread") != "true" || t.Unread > 0) &&
			(q.Get("assignee") == "" || q.Get("assignee") == t.Assignee.String()) &&
			(q.Get("unassigned") != "true" || t.Assignee.IsZero()) &&
			(q.Get("status") == "" || (q.Get("status") == "done") == (t.Status != chat.StatusOpen))
	}
	page := protocol.ConversationsPage{Conversations: []chat.Conversation{}, Contacts: []chat.Contact{}}
	all := s.visible(s.members[me])
	if q.Get("order") == "oldest" {
		slices.Reverse(all)
	}
	for _, t := range all {
		listed := fits(t) && int64(len(page.Conversations)) < number(r, "limit")
		with := strings.Contains(q.Get("with"), t.ID.String())
		if listed {
			page.Conversations = append(page.Conversations, t.Conversation)
		}
		if with {
			page.With = append(page.With, t.Conversation)
		}
		if listed || with {
			page.Contacts = append(page.Contacts, *s.contacts[t.Contact])
		}
	}
	answer(w, http.StatusOK, page)
}

// rows collects the lines of a bootstrap or a state.
type rows struct{ lines []protocol.BootstrapLine }

func (l *rows) add(kind chat.EntityKind, id string, ver int64, brand chat.BrandID, conv chat.ConversationID, v any) {
	l.lines = append(l.lines, protocol.BootstrapLine{Kind: kind, ID: id, Op: chat.OpPut, Ver: ver, Brand: brand, Conversation: conv, Data: encode(v)})
}

func (l *rows) send(w http.ResponseWriter, head protocol.BootstrapHead, next string) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	_ = out.Encode(head) // a reader that has gone: nobody to tell, here and below
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	counts := map[string]int{}
	for _, line := range l.lines {
		counts[string(line.Kind)]++
		_ = out.Encode(line)
	}
	_ = out.Encode(protocol.BootstrapEnd{End: true, Counts: counts, More: next != "", Cursor: next})
}

// directory adds what is not a conversation.
func (s *server) directory(l *rows, m *chat.Member, after int64) {
	view := chat.ViewOf(*m)
	if s.ws.Ver > after {
		l.add(chat.EntityWorkspace, s.ws.ID.String(), s.ws.Ver, chat.BrandID{}, chat.ConversationID{}, s.ws)
	}
	for _, b := range s.brands {
		if view.Sees(b.ID) && b.Ver > after {
			l.add(chat.EntityBrand, b.ID.String(), b.Ver, b.ID, chat.ConversationID{}, b)
		}
	}
	for _, c := range s.channels {
		if view.Sees(c.Brand) && c.Ver > after {
			l.add(chat.EntityChannel, c.ID.String(), c.Ver, c.Brand, chat.ConversationID{}, c)
		}
	}
	for _, x := range s.members {
		if x.Ver > after {
			l.add(chat.EntityMember, x.ID.String(), x.Ver, chat.BrandID{}, chat.ConversationID{}, x)
		}
	}
}

// conversation adds one with its contact and its member's draft.
func (s *server) conversation(l *rows, t *thread) {
	p := s.contacts[t.Contact]
	l.add(chat.EntityContact, p.ID.String(), p.Ver, p.Brand, chat.ConversationID{}, p)
	l.add(chat.EntityConversation, t.ID.String(), t.Ver, t.Brand, t.ID, t.Conversation)
}

// draftsAfter sends a member's drafts. They come after all conversations: those
// move while a client pages, and it would miss some.
func (s *server) draftsAfter(l *rows, m *chat.Member, after int64) {
	for _, t := range s.visible(m) {
		if d := s.drafts[draftKey{t.ID, m.ID}]; d != nil && d.Ver > after {
			l.add(chat.EntityDraft, t.ID.String(), d.Ver, t.Brand, t.ID, d)
		}
	}
}

// visible gives a member's conversations, newest first.
func (s *server) visible(m *chat.Member) []*thread {
	view := chat.ViewOf(*m)
	var all []*thread
	for _, t := range s.threads {
		if view.Sees(t.Brand) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *thread) int {
		return cmp.Or(cmp.Compare(b.LastMessageAt, a.LastMessageAt), strings.Compare(b.ID.String(), a.ID.String()))
	})
	return all
}

// bootstrap sends everything, a page at a time. The cursor is the last
// conversation of the page before: its time and its id.
func (s *server) bootstrap(w http.ResponseWriter, r *http.Request, me chat.MemberID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[me]
	access := s.access(m)
	head := protocol.BootstrapHead{Head: s.head(), Epoch: s.epoch, Access: &access, Since: since}
	all := s.visible(m)
	head.Total = int64(len(all))
	l := &rows{}
	cursor := r.URL.Query().Get("cursor")
	if cursor == "" {
		s.directory(l, m, 0)
	} else {
		epoch, rest, _ := strings.Cut(cursor, "/")
		at, id, _ := strings.Cut(rest, "/")
		last, err := strconv.ParseInt(at, 10, 64)
		if epoch != s.epoch || err != nil {
			problem(w, chat.Errorf(chat.CodeReset, "The cursor is of another log."))
			return
		}
		all = slices.DeleteFunc(all, func(t *thread) bool {
			return int64(t.LastMessageAt) > last || int64(t.LastMessageAt) == last && t.ID.String() >= id
		})
	}
	next := ""
	if len(all) > pageRows {
		all = all[:pageRows]
		last := all[pageRows-1]
		next = fmt.Sprintf("%s/%d/%s", s.epoch, int64(last.LastMessageAt), last.ID)
	}
	for i, t := range all {
		s.conversation(l, t)
		if cursor == "" && i < recentThreads {
			for _, msg := range t.messages[max(0, len(t.messages)-recentMessages):] {
				l.add(chat.EntityMessage, msg.ID.String(), msg.Ver, t.Brand, t.ID, msg)
			}
		}
	}
	if next == "" {
		s.draftsAfter(l, m, 0)
	}
	l.send(w, head, next)
}

// state sends what has changed, without each step.
func (s *server) state(w http.ResponseWriter, r *http.Request, me chat.MemberID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := number(r, "after")
	if epoch := r.URL.Query().Get("epoch"); epoch != "" && epoch != s.epoch || after > s.head() {
		problem(w, chat.Errorf(chat.CodeReset, "This is another log."))
		return
	}
	if after < s.lost {
		problem(w, chat.Errorf(chat.CodeFarBehind, "What was deleted since is not known any more."))
		return
	}
	m := s.members[me]
	if names := r.URL.Query().Get("buckets"); names != "" {
		s.buckets(w, m, names)
		return
	}
	access := s.access(m)
	l := &rows{}
	s.directory(l, m, after)
	for _, t := range s.visible(m) {
		if t.Ver > after || s.contacts[t.Contact].Ver > after {
			s.conversation(l, t)
		}
	}
	s.draftsAfter(l, m, after)
	for _, c := range s.log[after:] { // tombstones are kept for long
		if c.Op == chat.OpDelete && s.sees(m, c) {
			l.lines = append(l.lines, protocol.BootstrapLine{Kind: c.Kind, ID: c.ID, Op: chat.OpDelete, Ver: c.Seq, Brand: c.Brand, Conversation: c.Conversation})
		}
	}
	l.send(w, protocol.BootstrapHead{Head: s.head(), Epoch: s.epoch, Access: &access, Since: since}, "")
}

// socket is one live socket.
type socket struct {
	conn *websocket.Conn
	wake chan struct{}
	stop chan struct{}
	once sync.Once
	code int
	why  string
}

func (k *socket) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *socket) end(code int, why string) {
	k.once.Do(func() {
		k.code, k.why = code, why
		close(k.stop)
	})
}

func (s *server) live(w http.ResponseWriter, r *http.Request, me chat.MemberID) {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := up.Upgrade(w, r, http.Header{protocol.VersionHeader: {protocol.Version}})
	if err != nil {
		return
	}
	defer conn.Close()
	k := &socket{conn: conn, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second)) // never fails on a line of ours
	var hello protocol.Frame
	if err := conn.ReadJSON(&hello); err != nil || hello.After == nil {
		return
	}
	_ = conn.SetReadDeadline(time.Time{}) // as above
	s.mu.Lock()
	s.sockets[k] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.sockets, k)
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				k.end(0, "")
				return
			}
		}
	}()
	s.write(k, me, *hello.After, hello.Epoch)
	if k.code != 0 {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(k.code, k.why), time.Now().Add(time.Second)) // it ends anyway
	}
	conn.Close()
	<-done
}

// write tells a socket everything that follows on where its client stands.
func (s *server) write(k *socket, me chat.MemberID, at int64, epoch string) {
	s.mu.Lock()
	head, behind := s.head(), s.reachable(at, epoch) != nil
	frames := []any{map[string]any{"type": protocol.FrameWelcome, "head": head, "beat": 20, "epoch": s.epoch}}
	s.mu.Unlock()
	if behind { // the client pulls up to here, and goes on from here
		frames = append(frames, map[string]any{"type": protocol.FrameBehind, "head": head})
		at = head
	}
	beat := time.NewTicker(20 * time.Second)
	defer beat.Stop()
	for {
		for _, f := range frames {
			if k.conn.WriteJSON(f) != nil {
				return
			}
		}
		frames = nil
		s.mu.Lock()
		p := s.packet(me, at)
		s.mu.Unlock()
		if p.To > at {
			at = p.To
			frames = append(frames, map[string]any{"type": protocol.FrameChanges, "from": p.From, "to": p.To, "changes": p.Changes})
			continue
		}
		select {
		case <-k.wake:
		case <-beat.C:
			s.mu.Lock()
			frames = append(frames, map[string]any{"type": protocol.FrameBeat, "head": s.head(), "at": chat.TimeOf(time.Now())})
			s.mu.Unlock()
		case <-k.stop:
			return
		}
	}
}
