package simulation

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// The server's bounds are small, so that short schedules meet them.
const (
	pageChanges    = 12 // of one page or packet
	pageRows       = 3  // conversations of one page of a bootstrap
	pageMessages   = 6  // of one page of history, whatever is asked for
	farBehind      = 80 // changes
	recentThreads  = 2  // whose messages a bootstrap sends along
	recentMessages = 4
	sendInterval   = time.Second
)

// server is the server as the contract describes it, in memory: one workspace,
// its change log, its verdicts. Everything it says is true at once; whether it
// is heard is a matter of the line.
type server struct {
	faults  func(from string) requestFault // by whom the token names
	noted   func(format string, args ...any)
	greeted func(conversation chat.ConversationID, brand int)

	mu       sync.Mutex
	epoch    string
	ws       chat.Workspace
	brands   []chat.Brand
	channels []chat.Channel
	members  map[chat.MemberID]*chat.Member
	contacts map[chat.ContactID]*chat.Contact
	threads  map[chat.ConversationID]*thread
	drafts   map[draftKey]*chat.Draft
	log      []chat.Change  // seq is index + 1
	trimmed  int64          // changes up to this one can no longer be asked for
	hiding   bool           // the next change of a conversation
	hidden   map[int64]bool // changes that the log keeps to itself
	lost     int64          // deletions up to this one are forgotten: no state can be told from before it
	verdicts map[verdictKey]verdict
	arrivals map[chat.MessageID]chat.Message // of customers
	erasedOf map[chat.ContactID]bool         // who has had a conversation erased
	sockets  map[*socket]struct{}
	changed  map[chat.MemberID]bool // whose access has
	restored bool                   // from a backup, ever
	busy     sync.WaitGroup
}

type thread struct {
	chat.Conversation
	messages []chat.Message
}

type draftKey struct {
	conversation chat.ConversationID
	member       chat.MemberID
}

type verdictKey struct {
	member chat.MemberID
	id     chat.CommandID
}

type verdict struct {
	asked  string
	result protocol.Result
	// message is what it made, conversation what it was about.
	message      chat.MessageID
	conversation chat.ConversationID
}

// requestFault is what becomes of one request.
type requestFault struct {
	lostAnswer bool          // carried out, and nobody hears of it
	late       time.Duration // given up by its sender, carried out later
	twice      bool          // a proxy repeats it
	refuse     chat.Code     // "" or a passing refusal
}

func newServer() *server {
	return &server{epoch: chat.NewID[server]().String(), members: map[chat.MemberID]*chat.Member{}, contacts: map[chat.ContactID]*chat.Contact{},
		threads: map[chat.ConversationID]*thread{}, drafts: map[draftKey]*chat.Draft{}, verdicts: map[verdictKey]verdict{},
		arrivals: map[chat.MessageID]chat.Message{}, erasedOf: map[chat.ContactID]bool{}, hidden: map[int64]bool{}, changed: map[chat.MemberID]bool{}, sockets: map[*socket]struct{}{}}
}

// found makes the workspace: brands with one channel each.
func (s *server) found(brands int) {
	s.ws = chat.Workspace{ID: chat.NewID[chat.Workspace](), Name: "Shop", Settings: chat.DefaultWorkspaceSettings()}
	s.ws.Settings.SendIntervalSeconds = int(sendInterval / time.Second)
	s.ws.Ver = s.note(chat.Change{Kind: chat.EntityWorkspace, ID: s.ws.ID.String()}, &s.ws, &s.ws.Ver)
	for i := range brands {
		b := chat.Brand{ID: chat.NewID[chat.Brand](), Name: fmt.Sprint("Brand ", i), Color: "#336699", Position: i}
		s.note(chat.Change{Kind: chat.EntityBrand, ID: b.ID.String(), Brand: b.ID}, &b, &b.Ver)
		s.brands = append(s.brands, b)
		c := chat.Channel{ID: chat.NewID[chat.Channel](), Brand: b.ID, Kind: chat.KindWeb, Name: "Web", Key: b.Name, Slug: fmt.Sprint("b", i)}
		s.note(chat.Change{Kind: chat.EntityChannel, ID: c.ID.String(), Brand: b.ID}, &c, &c.Ver)
		s.channels = append(s.channels, c)
	}
}

func (s *server) hire(name string) chat.Member {
	m := &chat.Member{ID: chat.NewID[chat.Member](), Name: name, Email: strings.ToLower(name) + "@shop.example", Role: chat.RoleAgent,
		Brands: []chat.BrandID{}, Settings: chat.MemberSettings{ReadMode: "manual"}}
	s.note(chat.Change{Kind: chat.EntityMember, ID: m.ID.String()}, m, &m.Ver)
	s.members[m.ID] = m
	return *m
}

// note appends a change; the entity gets its number as ver.
func (s *server) note(c chat.Change, entity any, ver *int64) int64 {
	c.Seq, c.At = int64(len(s.log))+1, chat.TimeOf(time.Now())
	if c.Op == "" {
		c.Op = chat.OpPut
	}
	if ver != nil {
		*ver = c.Seq
	}
	if entity != nil {
		c.Data = encode(entity)
	}
	if s.hiding && c.Kind == chat.EntityConversation {
		s.hiding, s.hidden[c.Seq] = false, true
	}
	s.log = append(s.log, c)
	return c.Seq
}

func (s *server) head() int64 { return int64(len(s.log)) }

// tell lets the sockets know that there is more.
func (s *server) tell() {
	for k := range s.sockets {
		k.nudge()
	}
}

func (s *server) putMessage(t *thread, m *chat.Message, cause chat.CommandID) {
	s.note(chat.Change{Kind: chat.EntityMessage, ID: m.ID.String(), Brand: t.Brand, Conversation: t.ID, Cause: cause}, m, &m.Ver)
	t.messages = append(t.messages, *m)
}

func (s *server) putConversation(t *thread) int64 {
	return s.note(chat.Change{Kind: chat.EntityConversation, ID: t.ID.String(), Brand: t.Brand, Conversation: t.ID}, &t.Conversation, &t.Ver)
}

// arrive takes a message of a customer over, once.
func (s *server) arrive(c chat.ContactID, id chat.MessageID, text string) chat.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := s.arrivals[id]; ok {
		return m
	}
	now := chat.TimeOf(time.Now())
	t := s.threadOf(c)
	if t == nil {
		brand := brandOf(c)
		ch := s.channels[brand]
		p := &chat.Contact{ID: c, Brand: ch.Brand, Name: "Customer " + c.String()[30:], Identities: []chat.Identity{}, CreatedAt: now}
		s.contacts[c] = p
		s.note(chat.Change{Kind: chat.EntityContact, ID: c.String(), Brand: ch.Brand}, p, &p.Ver)
		t = &thread{Conversation: chat.NewConversation(chat.NewID[chat.Conversation](), ch, c, chat.IdentityID{}, false, now)}
		s.threads[t.ID] = t
		s.greeted(t.ID, brand)
	}
	m := chat.Message{ID: id, Kind: chat.MessageKindMessage, Author: chat.Actor{Kind: chat.ActorCustomer, ID: c.String()},
		Parts: []chat.Part{chat.TextPart(text)}, SentAt: now, StoredAt: now}
	t.ReopenForCustomer(false)
	t.Append(&m)
	s.putMessage(t, &m, chat.CommandID{})
	s.putConversation(t)
	s.arrivals[id] = m
	s.tell()
	return m
}

// edit changes a message that is there; it keeps its number.
func (s *server) edit(id chat.ConversationID, i int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.threads[id]
	if t == nil || len(t.messages) == 0 {
		return
	}
	m := &t.messages[i%len(t.messages)]
	if !m.DeletedAt.IsZero() || m.Kind != chat.MessageKindMessage || !m.FromCustomer() {
		return
	}
	m.Parts = []chat.Part{chat.TextPart(m.Text() + text)}
	m.EditedAt = chat.TimeOf(time.Now())
	s.note(chat.Change{Kind: chat.EntityMessage, ID: m.ID.String(), Brand: t.Brand, Conversation: t.ID}, m, &m.Ver)
	s.putConversation(t) // who reads only the state must learn of it too
	s.tell()
}

// erase deletes a conversation for good, with its messages.
func (s *server) erase(id chat.ConversationID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.threads[id]
	s.erasedOf[t.Contact] = true
	delete(s.threads, id)
	for k := range s.drafts {
		if k.conversation == id {
			delete(s.drafts, k)
		}
	}
	s.note(chat.Change{Kind: chat.EntityConversation, ID: id.String(), Op: chat.OpDelete, Brand: t.Brand, Conversation: id}, nil, nil)
	s.tell()
}

// grant says which brands a member may see from here on; none: all of them.
func (s *server) grant(id chat.MemberID, brands []chat.BrandID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[id]
	m.Brands = brands
	s.changed[id] = true
	s.note(chat.Change{Kind: chat.EntityMember, ID: id.String()}, m, &m.Ver)
	s.note(chat.Change{Kind: chat.EntityAccess, ID: id.String(), Member: id}, s.access(m), nil)
	s.tell()
}

func (s *server) access(m *chat.Member) chat.Access {
	return chat.Access{Member: m.ID, Role: m.Role, Brands: m.Brands}
}

// trim forgets old changes.
func (s *server) trim(keep int64, deletions bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trimmed = max(s.trimmed, s.head()-keep)
	if deletions {
		s.lost = s.trimmed
	}
}

// beginEpoch writes the log anew, as a server does that was set up from a copy:
// everything is there, and no number is what it was.
func (s *server) beginEpoch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renew()
}

// renew writes the log anew. The caller holds mu.
func (s *server) renew() {
	s.epoch, s.log, s.trimmed, s.lost, s.hiding = chat.NewID[server]().String(), nil, 0, 0, false
	clear(s.hidden)
	s.note(chat.Change{Kind: chat.EntityWorkspace, ID: s.ws.ID.String()}, &s.ws, &s.ws.Ver)
	for i := range s.brands {
		b, c := &s.brands[i], &s.channels[i]
		s.note(chat.Change{Kind: chat.EntityBrand, ID: b.ID.String(), Brand: b.ID}, b, &b.Ver)
		s.note(chat.Change{Kind: chat.EntityChannel, ID: c.ID.String(), Brand: b.ID}, c, &c.Ver)
	}
	for _, m := range s.members {
		s.note(chat.Change{Kind: chat.EntityMember, ID: m.ID.String()}, m, &m.Ver)
	}
	for _, t := range s.visible(&chat.Member{}) {
		p := s.contacts[t.Contact]
		s.note(chat.Change{Kind: chat.EntityContact, ID: p.ID.String(), Brand: p.Brand}, p, &p.Ver)
		for i := range t.messages {
			m := &t.messages[i]
			s.note(chat.Change{Kind: chat.EntityMessage, ID: m.ID.String(), Brand: t.Brand, Conversation: t.ID}, m, &m.Ver)
		}
		s.putConversation(t)
	}
	for k, d := range s.drafts {
		t := s.threads[k.conversation]
		s.note(chat.Change{Kind: chat.EntityDraft, ID: t.ID.String(), Brand: t.Brand, Conversation: t.ID, Member: k.member}, d, &d.Ver)
	}
	s.renumber()
	s.cutSockets(0, "")
}

// renumber brings what was answered to commands over to a new log.
func (s *server) renumber() {
	for key, v := range s.verdicts {
		t := s.threads[v.conversation]
		if v.result.Problem != nil {
			continue
		}
		if t == nil { // answered as before, with a version that this log has had
			v.result.Seq, v.result.Data = 1, aged(v.result.Data)
			s.verdicts[key] = v
			continue
		}
		v.result.Seq, v.result.Data = 0, nil
		for _, m := range t.messages {
			if m.ID == v.message {
				v.result.Seq, v.result.Data = m.Ver, encode(m)
			}
		}
		s.verdicts[key] = v
	}
}

// aged gives an entity the oldest version there is.
func aged(raw json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields["ver"] == nil {
		return raw
	}
	fields["ver"] = json.RawMessage("1")
	return encode(fields)
}

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// restart drops every socket, without a word or with one.
func (s *server) restart(polite bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if polite {
		s.cutSockets(protocol.CloseRestarting, `{"retry_after":0.5}`)
		return
	}
	s.cutSockets(0, "")
}

func (s *server) cutSockets(code int, reason string) {
	for k := range s.sockets {
		k.end(code, reason)
	}
}
