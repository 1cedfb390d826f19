package simulation

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// The log is not always right here: it keeps a change of a conversation to
// itself now and then, as a server does that has a bug. Who follows it cannot
// notice; the proof must, and only then may it.

// since is the window of what everybody holds: all there is.
var since = chat.TimeOf(time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC))

// hide keeps the next change of a conversation out of the log, or does not.
func (s *server) hide(next bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hiding = next
}

// isLying reports whether something was hidden, ever.
func (s *server) isLying() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.hidden) > 0
}

// digest compares what a desk holds with what there is.
func (s *server) digest(w http.ResponseWriter, r *http.Request, me chat.MemberID) {
	var in protocol.Digest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		problem(w, chat.Invalid("body", "not JSON"))
		return
	}
	theirs, err := protocol.DigestOf(in.Buckets)
	if err != nil {
		problem(w, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.Epoch != s.epoch || in.Position > s.head() {
		problem(w, chat.Errorf(chat.CodeReset, "This is another log."))
		return
	}
	m := s.members[me]
	out := protocol.DigestAnswer{Head: s.head(), Access: s.access(m), Changed: []chat.ConversationID{}}
	var sum chat.Digest
	for _, t := range s.visible(m) {
		if t.Ver > in.Position {
			out.Changed = append(out.Changed, t.ID)
			continue
		}
		sum.Add(t.ID, chat.DigestHash(t.ID, t.Ver))
	}
	for _, c := range s.log[in.Position:] {
		if c.Kind == chat.EntityConversation && c.Op == chat.OpDelete {
			out.Changed = append(out.Changed, c.Conversation)
		}
	}
	out.Differ = protocol.Compare(sum, theirs)
	answer(w, http.StatusOK, out)
}

// buckets sends the conversations of some buckets, and nothing else.
func (s *server) buckets(w http.ResponseWriter, m *chat.Member, names string) {
	var wanted []int
	for _, name := range strings.Split(names, ",") {
		n, err := strconv.Atoi(name)
		if err != nil {
			problem(w, chat.Invalid("buckets", "not numbers"))
			return
		}
		wanted = append(wanted, n)
	}
	access := s.access(m)
	l := &rows{}
	for _, t := range s.visible(m) {
		if slices.Contains(wanted, chat.DigestBucket(t.ID)) {
			p := s.contacts[t.Contact]
			l.add(chat.EntityContact, p.ID.String(), p.Ver, p.Brand, chat.ConversationID{}, p)
			l.add(chat.EntityConversation, t.ID.String(), t.Ver, t.Brand, t.ID, t.Conversation)
		}
	}
	l.send(w, protocol.BootstrapHead{Head: s.head(), Epoch: s.epoch, Access: &access, Since: since}, "")
}
