package demo

import (
	"math/rand/v2"
	"time"

	"parley/backend/chat"
)

// writer makes one thread.
type writer struct {
	set       *Set
	r         *rand.Rand
	person    person
	plan      channelPlan
	kind      chat.ChannelKind
	conv      chat.Conversation
	messages  []chat.Message
	parts     []chat.Part     // one piece of memory for all parts
	delivered []chat.Delivery // and one for all delivery states
	topic     *topic
	agent     int // index of the member who answers
	human     bool
	at        chat.Time
	buf       []byte
}

// thread makes the i-th conversation with n messages.
func (s *Set) thread(i, n int) Thread {
	k, again := contactOf(i)
	w := &writer{set: s, r: s.source(streamThread, i), person: s.person(k)}
	channel, last := w.person.channels[0], w.person.last
	created := w.person.contact.CreatedAt
	if again {
		channel = w.person.channels[1]
		last = created.Add(time.Duration(w.r.Float64() * float64(s.opts.Now.Sub(created))))
	}
	w.plan, w.kind = s.plans[channel], s.Channels[channel].Kind
	w.agent = pick(w.r, s.brandAgents[w.person.brand])
	w.human = !w.plan.assistant
	w.topic = w.drawTopic()

	steps := planThread(w.r, n, w.plan.assistant, drawEnding(w.r, s.opts.Now.Sub(last)))
	span := time.Duration(0)
	for _, st := range steps[1:] {
		span += st.pause
	}
	scale := 1.0
	if room := last.Sub(created); span > room { // fit into the time the person is known
		scale = float64(room) / float64(span)
	}
	w.at = last.Add(-time.Duration(float64(span) * scale))
	w.open(channel)
	w.messages = make([]chat.Message, 0, n)
	w.parts = make([]chat.Part, 0, n)
	w.delivered = make([]chat.Delivery, 0, n)
	for j, st := range steps {
		if j > 0 {
			w.at = min(w.at.Add(time.Duration(float64(st.pause)*scale)), s.opts.Now)
		}
		w.write(st.kind)
	}
	w.finish()
	return Thread{Contact: w.person.contact, Again: again, Conversation: w.conv, Messages: w.messages}
}

// open starts the conversation.
func (w *writer) open(channel int) {
	c := w.person.contact
	ch := w.set.Channels[channel]
	identity := c.Identities[0].ID
	for _, id := range c.Identities {
		if id.Channel == ch.ID {
			identity = id.ID
		}
	}
	w.conv = chat.NewConversation(newID[chat.Conversation](w.r, w.at), ch, c.ID, identity, w.plan.assistant, w.at)
	switch w.kind {
	case chat.KindEmail:
		w.conv.Subject = w.text(pick(w.r, w.topic.ask))
	case chat.KindWeb:
		w.conv.Origin = &chat.Origin{Page: "https://" + w.plan.name + pick(w.r, []string{"/", "/coffee", "/delivery", "/contact"})}
		if chance(w.r, 0.3) {
			w.conv.Origin.UTM = map[string]string{"source": pick(w.r, []string{"newsletter", "instagram", "search"}), "medium": "link"}
		}
	}
}

// write makes the message of one step.
func (w *writer) write(k stepKind) {
	switch k {
	case stepAsk:
		w.topic = w.drawTopic()
		w.customer(chat.TextPart(w.text(pick(w.r, w.topic.ask))))
	case stepFollow:
		w.customer(chat.TextPart(w.text(pick(w.r, w.topic.follow))))
	case stepSmall, stepThanks:
		w.customer(chat.TextPart(w.text(pick(w.r, w.small(k)))))
	case stepShow:
		w.customer(w.shown())
	case stepBot, stepHandOver:
		bot := w.person.language.any["bot"]
		w.staff(w.text(bot[int(k-stepBot)%len(bot)]))
	case stepAnswer:
		w.staff(w.text(pick(w.r, w.topic.answer)))
	case stepReply:
		w.staff(w.text(pick(w.r, w.topic.replies)))
	case stepBye:
		w.staff(w.text(pick(w.r, w.small(k))))
	case stepComment:
		w.comment()
	default:
		w.happen(k)
	}
}

func (w *writer) small(k stepKind) []phrase {
	switch k {
	case stepThanks:
		return w.person.language.any["thanks"]
	case stepBye:
		return w.person.language.any["bye"]
	}
	return w.person.language.any["small"]
}

// append numbers a message and puts it into the thread.
func (w *writer) append(kind chat.MessageKind, author chat.Actor, part ...chat.Part) *chat.Message {
	from := len(w.parts)
	w.parts = append(w.parts, part...)
	m := chat.Message{
		ID: newID[chat.Message](w.r, w.at), Kind: kind, Author: author, SentAt: w.at, StoredAt: w.at,
		Parts: w.parts[from:len(w.parts):len(w.parts)],
	}
	if kind == chat.MessageKindMessage && chance(w.r, 0.002) {
		m = m.Stub(w.at)
	} else if kind != chat.MessageKindEvent && chance(w.r, 0.004) {
		m.EditedAt = w.at
	}
	w.messages = append(w.messages, m)
	return &w.messages[len(w.messages)-1]
}

// customer lets the customer say something.
func (w *writer) customer(part chat.Part) {
	if w.conv.ReopenForCustomer(w.plan.assistant) {
		w.human = !w.plan.assistant
	}
	w.conv.Append(w.append(chat.MessageKindMessage, chat.CustomerActor(w.person.contact.ID), part))
}

// staff lets the house answer: the assistant until a person has taken over.
func (w *writer) staff(text string) {
	author, part := w.set.assistant, chat.TextPart(text)
	if w.human {
		me := w.set.Members[w.agent].ID
		author = chat.MemberActor(me)
		if w.conv.Status == chat.StatusOpen {
			w.conv.Answered(me)
		}
		part = w.offered(text)
	}
	m := w.append(chat.MessageKindMessage, author, part)
	w.conv.Append(m)
	w.delivered = append(w.delivered, chat.Delivery{State: chat.DeliverySent})
	m.Delivery = &w.delivered[len(w.delivered)-1]
	if chance(w.r, 0.004) {
		m.Delivery.Advance(chat.DeliveryFailed, "The channel refused the message.")
	}
	if m.Number > 2 && chance(w.r, 0.05) {
		m.ReplyTo = w.messages[m.Number-2].ID
	}
}

// comment lets a member say something the customer does not see.
func (w *writer) comment() {
	colleague := pick(w.r, w.set.brandAgents[w.person.brand])
	who := w.set.Members[colleague]
	text := pick(w.r, []string{
		"Second complaint this month, please be generous.", "Knows the shop well, a wholesale customer since 2023.",
		"Checked with the warehouse: one box left.", "I answer as soon as accounting is back.", "Der Kunde bevorzugt Deutsch.",
	})
	var mentions []chat.MemberID
	if chance(w.r, 0.6) {
		text = "@" + who.Name + " " + text
		mentions = []chat.MemberID{who.ID}
	}
	m := w.append(chat.MessageKindComment, chat.MemberActor(w.set.Members[w.agent].ID), chat.TextPart(text))
	m.Mentions = mentions
	w.conv.Append(m)
}

// happen applies what the step says to the conversation and records it. What
// would change nothing becomes a comment, so that no event lies.
func (w *writer) happen(k stepKind) {
	agents := w.set.brandAgents[w.person.brand]
	me := w.set.Members[w.agent].ID
	event, changed, actor := chat.Event{}, true, chat.MemberActor(me)
	switch k {
	case stepEscalated:
		event.Name, actor = "escalated", w.set.assistant
		event.Reason = pick(w.r, []string{"asked for a person", "no answer found", "refund"})
		w.conv.State, w.conv.Holder, w.human = chat.StateEscalated, nil, true
	case stepRequested:
		event.Name, event.Member, changed = "requested", me, w.conv.Holder == nil
		if changed {
			w.conv.State, w.human = chat.StateRequested, true
		}
	case stepAccepted:
		w.agent = pick(w.r, agents)
		me = w.set.Members[w.agent].ID
		event.Name, event.Member, actor = "accepted", me, chat.MemberActor(me)
		changed, _ = w.conv.Accept(me, true) // refused only when closed, which happens in finish
		w.human = true
	case stepAssigned:
		to := pick(w.r, agents)
		event.Name, event.Member = "assigned", w.set.Members[to].ID
		changed = w.conv.Assign(event.Member)
		w.agent, w.human = to, true
	case stepReleased:
		event.Name = "released"
		changed, _ = w.conv.Release(me, true, w.plan.assistant) // refused only to those who may not manage
		w.human = !w.plan.assistant
	case stepResolved:
		event.Name = "resolved"
		changed, _ = w.conv.Resolve(w.plan.assistant) // as for accept
	case stepReopened:
		event.Name, actor = "reopened", chat.SystemActor()
		changed = w.conv.Reopen(w.plan.assistant)
		w.human = !w.plan.assistant
	}
	if !changed {
		w.comment()
		return
	}
	m := w.append(chat.MessageKindEvent, actor)
	m.Event = &event
	w.conv.Append(m)
}

// finish settles what depends on the whole thread: the read position, what
// the customer has seen, tags, marks and the rarer states.
func (w *writer) finish() {
	c, r := &w.conv, w.r
	number, in := c.LastNumber, c.InNumber
	unread := 0.12 // what has waited for long was mostly read, and left at that
	if w.set.opts.Now.Sub(c.LastMessageAt) < 2*24*time.Hour {
		unread = 0.8
	}
	if c.LastCustomerNumber > c.LastReplyNumber && c.Status == chat.StatusOpen && chance(r, unread) {
		number, in = c.LastReplyNumber, 0 // unread since the last answer
		if number > 0 {
			in = w.messages[number-1].InNumber
		}
	}
	c.Read(number, in)

	c.SeenByCustomer = c.LastCustomerNumber
	if chance(r, 0.7) {
		c.SeenByCustomer = max(c.LastCustomerNumber, c.LastReplyNumber)
	}
	for i := range w.messages {
		m := &w.messages[i]
		if m.Delivery == nil || !m.DeletedAt.IsZero() {
			m.Delivery = nil
			continue
		}
		if m.Number <= c.SeenByCustomer && m.Delivery.State != chat.DeliveryFailed {
			m.Delivery.Advance(chat.DeliveryRead, "")
		}
	}
	w.mark()
}

func (w *writer) mark() {
	c, r := &w.conv, w.r
	for range r.IntN(3) {
		if chance(r, 0.5) {
			c.Tags = append(c.Tags, pick(r, []string{"vip", "refund", "shipping", "wholesale", "urgent", "feedback", "rückruf", "教室"}))
		}
	}
	c.Tags = chat.NormaliseTags(c.Tags)
	if chance(r, 0.05) {
		c.Priority = 1 + r.IntN(2)
	}
	if c.Assignee.IsZero() && chance(r, 0.35) {
		c.Assignee = w.set.Members[w.agent].ID
	}
	switch {
	case c.Status == chat.StatusResolved:
		if chance(r, 0.3) {
			c.CSAT = min(5, 2+r.IntN(5))
		}
		if chance(r, 0.08) {
			c.Status, c.State = chat.StatusClosed, chat.StateClosed
		}
	case c.Holder == nil && chance(r, 0.03):
		c.State = chat.StatePaused
	}
}
