package simulation

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// commands judges what a desktop hands in, as the contract says: each id once,
// with the same answer whenever it comes again.
func (s *server) commands(w http.ResponseWriter, r *http.Request, me chat.MemberID) {
	var in protocol.Commands
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		problem(w, chat.Invalid("body", "not JSON"))
		return
	}
	fault := s.faults(me.String())
	if fault.refuse != "" {
		problem(w, chat.Errorf(fault.refuse, "Not now."))
		return
	}
	time.Sleep(fault.late) // its sender gives up meanwhile, and may have sent others
	epoch := r.URL.Query().Get("epoch")
	out, err := s.judgeAll(me, epoch, in.Commands)
	if err != nil {
		problem(w, err)
		return
	}
	for _, r := range out.Results {
		s.noted("server judges %s for %s: %s %v", in.Commands[0].Args, s.members[me].Name, r.Status, r.Problem)
	}
	if fault.twice {
		if out, err = s.judgeAll(me, epoch, in.Commands); err != nil {
			problem(w, err)
			return
		}
	}
	if fault.lostAnswer {
		panic(http.ErrAbortHandler) // cuts the connection
	}
	answer(w, http.StatusOK, out)
}

func (s *server) judgeAll(me chat.MemberID, epoch string, cmds []chat.Command) (out protocol.Results, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != "" && epoch != s.epoch {
		return out, chat.Errorf(chat.CodeReset, "This is another log.")
	}
	for _, c := range cmds {
		out.Results = append(out.Results, s.judge(me, c))
	}
	s.tell()
	return out, nil
}

// judge carries one command out, or says what it was answered before.
func (s *server) judge(me chat.MemberID, c chat.Command) protocol.Result {
	key := verdictKey{me, c.ID}
	asked := string(encode([]any{c.Kind, c.Args, c.Seen}))
	if v, ok := s.verdicts[key]; ok {
		if v.asked != asked {
			return refusal(c, chat.Errorf(chat.CodeIDReused, "This command id was used for another command."))
		}
		if v.result.Status == protocol.StatusApplied {
			v.result.Status = protocol.StatusDuplicate
		}
		return v.result
	}
	entity, seq, err := s.apply(s.members[me], c)
	if chat.ErrorCode(err) == chat.CodeTooSoon { // judges only the time: not kept
		return refusal(c, err)
	}
	res := protocol.Result{ID: c.ID, Status: protocol.StatusApplied, Seq: seq}
	if err != nil {
		res = refusal(c, err)
	} else {
		res.Data = encode(entity)
	}
	v := verdict{asked: asked, result: res}
	switch e := entity.(type) {
	case chat.Message:
		v.message, v.conversation = e.ID, e.Conversation
	case chat.Conversation:
		v.conversation = e.ID
	}
	s.verdicts[key] = v
	return res
}

func refusal(c chat.Command, err error) protocol.Result {
	return protocol.Result{ID: c.ID, Status: protocol.StatusRefused, Problem: protocol.ProblemOf(err)}
}

// apply gives the entity that a command made, and the change that made it.
func (s *server) apply(m *chat.Member, c chat.Command) (entity any, seq int64, err error) {
	var a struct {
		Conversation chat.ConversationID `json:"conversation"`
		Message      chat.MessageID      `json:"message"`
		Parts        []chat.Part         `json:"parts"`
		Text         string              `json:"text"`
		Comment      bool                `json:"comment"`
		Base         *int64              `json:"base"`
		Device       string              `json:"device"`
		Draft        *int64              `json:"draft"`
		Force        bool                `json:"force"`
		Upto         int64               `json:"upto"`
		From         int64               `json:"from"`
		Member       chat.MemberID       `json:"member"`
	}
	if err := json.Unmarshal(c.Args, &a); err != nil {
		return nil, 0, chat.Invalid("args", "not what this command takes")
	}
	t := s.threads[a.Conversation]
	if t == nil || !chat.ViewOf(*m).Sees(t.Brand) {
		return nil, 0, chat.Errorf(chat.CodeNotFound, "This conversation does not exist, or not for you.")
	}
	switch c.Kind {
	case protocol.MessageSend, protocol.CommentAdd:
		return s.say(m, t, c, a.Message, a.Parts, a.Text, a.Force, a.Draft)
	case protocol.DraftPut, protocol.DraftDrop:
		return s.draft(m, t, chat.Draft{Text: a.Text, Comment: a.Comment, Device: a.Device}, a.Base)
	case protocol.ConversationRead:
		if upto := min(a.Upto, t.LastNumber); upto > t.ReadNumber {
			return s.moveRead(t, upto)
		}
	case protocol.ConversationUnread:
		from := t.LastCustomerNumber
		if a.From > 0 {
			from = min(from, a.From)
		}
		if from > 0 {
			return s.moveRead(t, from-1)
		}
	case protocol.ConversationResolve:
		if changed, err := t.Resolve(false); changed || err != nil {
			return s.happened(m, t, c, "resolved", err)
		}
	case protocol.ConversationReopen:
		if t.Reopen(false) {
			return s.happened(m, t, c, "reopened", nil)
		}
	case protocol.ConversationAssign:
		if t.Assign(a.Member) {
			return s.happened(m, t, c, "assigned", nil)
		}
	default:
		return nil, 0, chat.Invalid("kind", "unknown")
	}
	return t.Conversation, t.Ver, nil
}

func (s *server) say(m *chat.Member, t *thread, c chat.Command, id chat.MessageID, parts []chat.Part, text string, force bool, upto *int64) (any, int64, error) {
	for _, other := range s.threads {
		if i := slices.IndexFunc(other.messages, func(x chat.Message) bool { return x.ID == id }); i >= 0 {
			if other != t || !other.messages[i].Author.IsMember(m.ID) {
				return nil, 0, chat.Errorf(chat.CodeIDReused, "This message id belongs to another message.")
			}
			return other.messages[i], other.messages[i].Ver, nil
		}
	}
	now := chat.TimeOf(time.Now())
	msg := chat.Message{ID: id, Kind: chat.MessageKindMessage, Author: chat.MemberActor(m.ID), Parts: parts, SentAt: now, StoredAt: now,
		Delivery: &chat.Delivery{State: chat.DeliverySent}}
	if c.Kind == protocol.CommentAdd {
		msg.Kind, msg.Parts, msg.Delivery = chat.MessageKindComment, []chat.Part{chat.TextPart(text)}, nil
	} else {
		if err := t.CheckSend(s.attempt(m, t, c, now, force)); err != nil {
			return nil, 0, err
		}
		t.Answered(m.ID)
	}
	t.Append(&msg)
	s.putMessage(t, &msg, c.ID)
	if d := s.drafts[draftKey{t.ID, m.ID}]; d != nil && (upto != nil && d.Ver <= *upto || upto == nil && d.Comment == (msg.Kind == chat.MessageKindComment)) {
		s.dropDraft(m, t)
	}
	s.putConversation(t)
	return msg, msg.Ver, nil
}

func (s *server) attempt(m *chat.Member, t *thread, c chat.Command, now chat.Time, force bool) chat.Attempt {
	a := chat.Attempt{Author: m.ID, Seen: c.Seen, Age: time.Duration(c.AgeMS) * time.Millisecond, Force: force, Now: now, Interval: sendInterval}
	for _, x := range t.messages {
		if x.Kind == chat.MessageKindMessage && x.Author.IsMember(m.ID) {
			a.LastSentAt = x.StoredAt
		}
		if c.Seen != nil && x.Number > *c.Seen {
			a.Newer = append(a.Newer, x)
		}
	}
	return a
}

func (s *server) moveRead(t *thread, number int64) (any, int64, error) {
	in := int64(0)
	if number > 0 {
		in = t.messages[number-1].InNumber
	}
	if t.Read(number, in) {
		s.putConversation(t)
	}
	return t.Conversation, t.Ver, nil
}

func (s *server) happened(m *chat.Member, t *thread, c chat.Command, name string, err error) (any, int64, error) {
	if err != nil {
		return nil, 0, err
	}
	now := chat.TimeOf(time.Now())
	msg := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindEvent, Author: chat.MemberActor(m.ID), Parts: []chat.Part{},
		Event: &chat.Event{Name: name}, SentAt: now, StoredAt: now}
	t.Append(&msg)
	s.putMessage(t, &msg, c.ID)
	s.putConversation(t)
	return t.Conversation, t.Ver, nil
}

func (s *server) draft(m *chat.Member, t *thread, typed chat.Draft, base *int64) (any, int64, error) {
	if base != nil && (s.draftVer(m, t) > *base || *base > s.head()) {
		return nil, 0, chat.Errorf(chat.CodeConflict, "This draft has changed meanwhile.")
	}
	if typed.Text == "" {
		if base == nil && s.drafts[draftKey{t.ID, m.ID}] == nil {
			return struct{}{}, 0, nil
		}
		return struct{}{}, s.dropDraft(m, t), nil
	}
	d := &typed
	d.Conversation, d.Member, d.UpdatedAt = t.ID, m.ID, chat.TimeOf(time.Now())
	s.note(chat.Change{Kind: chat.EntityDraft, ID: t.ID.String(), Brand: t.Brand, Conversation: t.ID, Member: m.ID}, d, &d.Ver)
	s.drafts[draftKey{t.ID, m.ID}] = d
	return d, d.Ver, nil
}

// draftVer is when a draft was last put or dropped.
func (s *server) draftVer(m *chat.Member, t *thread) int64 {
	for _, c := range slices.Backward(s.log) {
		if c.Kind == chat.EntityDraft && c.Conversation == t.ID && c.Member == m.ID {
			return c.Seq
		}
	}
	return 0
}

func (s *server) dropDraft(m *chat.Member, t *thread) int64 {
	delete(s.drafts, draftKey{t.ID, m.ID})
	return s.note(chat.Change{Kind: chat.EntityDraft, ID: t.ID.String(), Op: chat.OpDelete, Brand: t.Brand, Conversation: t.ID, Member: m.ID}, nil, nil)
}
