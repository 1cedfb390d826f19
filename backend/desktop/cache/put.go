package cache

import (
	"database/sql"
	"encoding/json"

	"parley/backend/chat"
	"parley/backend/search"
)

const (
	numberBits = 24 // of a message's key; a thread has at most 16 million messages
	maxNumber  = 1<<numberBits - 1
)

// put takes one row over by the rule of ver. A row that cannot be understood
// is skipped and counted: one bad row must not stop everything after it.
func (t *tx) put(r Row) error {
	if r.Op == chat.OpDelete {
		return t.remove(r)
	}
	if r.Op != "" && r.Op != chat.OpPut {
		return t.skip(r, "unknown op")
	}
	switch r.Kind {
	case chat.EntityConversation:
		return t.putConversation(r)
	case chat.EntityMessage:
		return t.putMessage(r)
	case chat.EntityContact:
		return t.putContact(r)
	case chat.EntityDraft:
		return t.putDraft(r)
	case chat.EntityScheduled:
		return t.putScheduled(r)
	case chat.EntityWorkspace, chat.EntityBrand, chat.EntityChannel, chat.EntityMember:
		return t.putEntity(r)
	}
	return nil // a kind of a later version: not ours to keep
}

func (t *tx) skip(r Row, why string) error {
	t.applied.Skipped++
	t.w.cache.log.Warn("row skipped", "kind", string(r.Kind), "id", r.ID, "why", why)
	return nil
}

// newer is the rule of ver: higher replaces lower, and anything replaces a
// row of another era.
func (t *tx) newer(ver, than, mark int64) bool { return ver > than || mark < t.state.Floor }

// named notes that a bootstrap named a row that is cached already.
func (t *tx) named(table string, key int64, mark *int64) error {
	if !t.naming || *mark == t.state.Mark {
		return nil
	}
	*mark = t.state.Mark
	_, err := t.exec("update "+table+" set mark = ? where n = ?", t.state.Mark, key)
	return err
}

// conversationJSON is what the cache reads of a conversation.
type conversationJSON struct {
	ID         chat.ConversationID `json:"id"`
	Ver        int64               `json:"ver"`
	Brand      chat.BrandID        `json:"brand"`
	Channel    chat.ChannelID      `json:"channel"`
	Contact    chat.ContactID      `json:"contact"`
	Assignee   chat.MemberID       `json:"assignee"`
	Status     chat.Status         `json:"status"`
	Unread     int64               `json:"unread"`
	LastAt     chat.Time           `json:"last_message_at"`
	LastNumber int64               `json:"last_number"`
}

func (t *tx) putConversation(r Row) error {
	var c conversationJSON
	if err := json.Unmarshal(r.Data, &c); err != nil || c.ID.IsZero() || c.Brand.IsZero() {
		return t.skip(r, "not a conversation")
	}
	if !t.state.sees(c.Brand) {
		return nil
	}
	row, err := t.conversation(c.ID)
	if err != nil {
		return err
	}
	if row == nil {
		if gone, err := t.buried(chat.EntityConversation, c.ID.Bytes(), c.Ver); gone || err != nil {
			return err
		}
	} else if row.shown && !t.newer(c.Ver, row.ver, row.mark) {
		if t.reloading && row.ver > t.state.Position {
			// This version came past the log, as the answer to a command or to a
			// search: what happened in the thread before it was not seen either.
			if err := t.dropSpans(row.n, c.ID); err != nil {
				return err
			}
		}
		return t.named("conversation", row.n, &row.mark)
	}
	return t.writeConversation(c, row, r.Data)
}

func (t *tx) writeConversation(c conversationJSON, row *conversationRef, data []byte) error {
	brand, err := ref(t, c.Brand)
	if err != nil {
		return err
	}
	channel, err := ref(t, c.Channel)
	if err != nil {
		return err
	}
	assignee, err := ref(t, c.Assignee)
	if err != nil {
		return err
	}
	person, err := t.contactFor(c.Contact, brand)
	if err != nil {
		return err
	}
	done := c.Status != chat.StatusOpen
	t.rows[c.ID] = struct{}{}
	args := []any{c.Ver, t.state.Mark, brand, null(channel), null(person.n), null(assignee), done, c.Unread, int64(c.LastAt), c.LastNumber, person.label, data, c.ID}
	if row == nil {
		n, err := t.insert(`insert into conversation (ver, mark, brand, channel, contact, assignee, done, unread, last_at, last_number, label, data, id, shown, headless)
			values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)`, append(args, c.LastNumber > 0)...)
		t.conversations[c.ID] = &conversationRef{n: n, ver: c.Ver, mark: t.state.Mark, shown: true, brand: brand}
		return err
	}
	if err := t.doubt(row, c); err != nil {
		return err
	}
	if t.reloading && row.shown {
		// What happened between the two versions was not seen, edits of old
		// messages among it: the thread is read again where it is looked at.
		if err := t.dropSpans(row.n, c.ID); err != nil {
			return err
		}
	}
	row.ver, row.mark, row.shown, row.brand = c.Ver, t.state.Mark, true, brand
	t.heads[row.n] = struct{}{}
	_, err = t.exec(`update conversation set ver = ?, mark = ?, brand = ?, channel = ?, contact = ?, assignee = ?, done = ?, unread = ?,
		last_at = ?, last_number = ?, label = ?, data = ?, shown = 1 where id = ?`, args...)
	return err
}

func null(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

func (t *tx) dropSpans(n int64, id chat.ConversationID) error {
	e, err := t.spansOf(n)
	if err != nil {
		return err
	}
	e.after = nil
	t.threads[id] = struct{}{}
	return nil
}

// contactFor gives the contact a conversation points to, known or not.
func (t *tx) contactFor(id chat.ContactID, brand int64) (*contactRef, error) {
	if id.IsZero() {
		return &contactRef{}, nil
	}
	r, err := t.contact(id)
	if r != nil || err != nil {
		return r, err
	}
	r = &contactRef{label: chat.Contact{ID: id}.Label(), mark: t.state.Mark, brand: brand}
	r.n, err = t.insert("insert into contact (id, ver, mark, brand, label) values (?, 0, ?, ?, ?)", id, r.mark, brand, r.label)
	t.contacts[id] = r
	t.applied.Unknown = true
	if err != nil {
		return nil, err
	}
	return r, t.indexContact(r.n, r.label, "", "")
}

func (t *tx) putContact(r Row) error {
	var c struct {
		ID    chat.ContactID `json:"id"`
		Ver   int64          `json:"ver"`
		Brand chat.BrandID   `json:"brand"`
		Name  string         `json:"name"`
		Email string         `json:"email"`
		Phone string         `json:"phone"`
	}
	if err := json.Unmarshal(r.Data, &c); err != nil || c.ID.IsZero() || c.Brand.IsZero() {
		return t.skip(r, "not a contact")
	}
	if !t.state.sees(c.Brand) {
		return nil
	}
	row, err := t.contact(c.ID)
	if err != nil {
		return err
	}
	if row == nil {
		if gone, err := t.buried(chat.EntityContact, c.ID.Bytes(), c.Ver); gone || err != nil {
			return err
		}
	} else if row.ver > 0 && !t.newer(c.Ver, row.ver, row.mark) {
		return t.named("contact", row.n, &row.mark)
	}
	brand, err := ref(t, c.Brand)
	if err != nil {
		return err
	}
	t.people[c.ID] = struct{}{}
	label := chat.Contact{ID: c.ID, Name: c.Name, Email: c.Email, Phone: c.Phone}.Label()
	if row == nil {
		row = &contactRef{}
		t.contacts[c.ID] = row
		row.n, err = t.insert("insert into contact (id, ver, mark, brand, label, data) values (?, ?, ?, ?, ?, ?)",
			c.ID, c.Ver, t.state.Mark, brand, label, []byte(r.Data))
	} else {
		_, err = t.exec("update contact set ver = ?, mark = ?, brand = ?, label = ?, data = ? where n = ?",
			c.Ver, t.state.Mark, brand, label, []byte(r.Data), row.n)
		if err == nil {
			err = t.relabel(row.n, label)
		}
	}
	if err != nil {
		return err
	}
	row.ver, row.mark, row.brand, row.label = c.Ver, t.state.Mark, brand, label
	return t.indexContact(row.n, label, c.Email, c.Phone)
}

// relabel carries a contact's label into its conversations.
func (t *tx) relabel(contact int64, label string) error {
	return each(t, "update conversation set label = ? where contact = ? returning id, shown", []any{label, contact},
		func(rows *sql.Rows) (v struct {
			id    chat.ConversationID
			shown bool
		}, err error) {
			err = rows.Scan(&v.id, &v.shown)
			return v, err
		},
		func(v struct {
			id    chat.ConversationID
			shown bool
		}) error {
			if v.shown {
				t.rows[v.id] = struct{}{}
			}
			return nil
		})
}

// indexContact makes a contact findable by what it is called now.
func (t *tx) indexContact(n int64, label, email, phone string) error {
	if _, err := t.exec("delete from contact_fts where rowid = ?", n); err != nil {
		return err
	}
	_, err := t.exec("insert into contact_fts (rowid, label, email, phone) values (?, ?, ?, ?)",
		n, search.Index(label), search.Index(email), search.IndexPhone(phone))
	return err
}

func (t *tx) putMessage(r Row) error {
	var m struct {
		ID           chat.MessageID      `json:"id"`
		Ver          int64               `json:"ver"`
		Conversation chat.ConversationID `json:"conversation"`
		Number       int64               `json:"number"`
	}
	if err := json.Unmarshal(r.Data, &m); err != nil || m.ID.IsZero() || m.Conversation.IsZero() || m.Number < 1 || m.Number > maxNumber {
		return t.skip(r, "not a message")
	}
	conv, err := t.conversation(m.Conversation)
	if err != nil {
		return err
	}
	if conv == nil {
		if conv, err = t.placeholder(m.Conversation, r.Brand); conv == nil || err != nil {
			return err
		}
	}
	e, err := t.spansOf(conv.n)
	if err != nil {
		return err
	}
	e.after = addSpan(e.after, span{m.Number, m.Number}) // also of a deleted one: that it is gone is known
	if gone, err := t.buried(chat.EntityMessage, m.ID.Bytes(), m.Ver); gone || err != nil {
		return err
	}
	key, undelivered := conv.n<<numberBits|m.Number, undeliveredAt(r.Data)
	var failed *Failed
	if undelivered > 0 {
		if failed, err = t.failing(key, r.Data); err != nil {
			return err
		}
	}
	if err := t.displace(m.Conversation, key, m.ID, m.Ver); err != nil {
		return err
	}
	changed, err := t.exec(`insert into message (key, id, ver, mark, data, undelivered_at) values (?, ?, ?, ?, ?, ?)
		on conflict (key) do update set id = excluded.id, ver = excluded.ver, mark = excluded.mark, data = excluded.data, undelivered_at = excluded.undelivered_at
		where excluded.ver > ver or mark < ?`, key, m.ID, m.Ver, t.state.Mark, []byte(r.Data), undelivered, t.state.Floor)
	if err != nil {
		return err
	}
	if changed > 0 {
		key := conv.n<<numberBits | m.Number
		t.reindex(keyRange{key, key})
		t.threads[m.Conversation] = struct{}{}
		if undelivered > 0 {
			t.applied.Waiting = true
		}
		if failed != nil {
			t.applied.Failed = append(t.applied.Failed, *failed)
		}
	}
	return nil
}

// placeholder makes the row of a conversation known only from a message; nil
// where the member may not see it or its brand is not known, in which case
// the message comes again with its conversation.
func (t *tx) placeholder(id chat.ConversationID, b chat.BrandID) (*conversationRef, error) {
	if b.IsZero() || !t.state.sees(b) {
		return nil, nil
	}
	if gone, err := t.buried(chat.EntityConversation, id.Bytes(), 0); gone || err != nil {
		return nil, err
	}
	brand, err := ref(t, b)
	if err != nil {
		return nil, err
	}
	r := &conversationRef{mark: t.state.Mark, brand: brand}
	r.n, err = t.insert(`insert into conversation (id, ver, mark, shown, brand, done, unread, last_at, last_number, label)
		values (?, 0, ?, 0, ?, 0, 0, 0, 0, '')`, id, r.mark, brand)
	t.conversations[id] = r
	return r, err
}

func (t *tx) putDraft(r Row) error {
	var d struct {
		Conversation chat.ConversationID `json:"conversation"`
		Ver          int64               `json:"ver"`
		Text         string              `json:"text"`
	}
	if err := json.Unmarshal(r.Data, &d); err != nil || d.Conversation.IsZero() {
		return t.skip(r, "not a draft")
	}
	if gone, err := t.buried(chat.EntityDraft, d.Conversation.Bytes(), d.Ver); gone || err != nil {
		return err
	}
	conv, err := t.conversation(d.Conversation)
	if err != nil {
		return err
	}
	if conv == nil {
		if conv, err = t.placeholder(d.Conversation, r.Brand); conv == nil || err != nil {
			return err
		}
	}
	sealed, err := t.w.cache.sealOwn(draftOf(d.Conversation), r.Data)
	if err != nil {
		return err
	}
	changed, err := t.exec(`insert into draft (conversation, ver, mark, filled, data) values (?, ?, ?, ?, ?)
		on conflict (conversation) do update set ver = excluded.ver, mark = excluded.mark, filled = excluded.filled, data = excluded.data
		where excluded.ver > ver or mark < ?`, conv.n, d.Ver, t.state.Mark, d.Text != "", sealed, t.state.Floor)
	if err != nil {
		return err
	}
	if changed > 0 {
		t.rows[d.Conversation] = struct{}{}
		return nil
	}
	if t.naming {
		_, err = t.exec("update draft set mark = ? where conversation = ?", t.state.Mark, conv.n)
	}
	return err
}

// putEntity keeps one of the few things that are read whole.
func (t *tx) putEntity(r Row) error {
	var e struct {
		ID    chat.BrandID `json:"id"` // any of the kinds
		Ver   int64        `json:"ver"`
		Brand chat.BrandID `json:"brand"`
	}
	if err := json.Unmarshal(r.Data, &e); err != nil || e.ID.IsZero() {
		return t.skip(r, "not an entity")
	}
	brand := e.Brand // of a channel
	if r.Kind == chat.EntityBrand {
		brand = e.ID
	}
	if !t.state.sees(brand) {
		return nil
	}
	if gone, err := t.buried(r.Kind, e.ID.Bytes(), e.Ver); gone || err != nil {
		return err
	}
	if _, err := ref(t, e.ID); err != nil {
		return err
	}
	n, err := ref(t, brand)
	if err != nil {
		return err
	}
	changed, err := t.exec(`insert into entity (kind, id, ver, mark, brand, data) values (?, ?, ?, ?, ?, ?)
		on conflict (kind, id) do update set ver = excluded.ver, mark = excluded.mark, brand = excluded.brand, data = excluded.data
		where excluded.ver > ver or mark < ?`, string(r.Kind), e.ID, e.Ver, t.state.Mark, null(n), []byte(r.Data), t.state.Floor)
	if err != nil {
		return err
	}
	if changed > 0 {
		t.applied.Directory = true
	} else if t.naming {
		_, err = t.exec("update entity set mark = ? where kind = ? and id = ?", t.state.Mark, string(r.Kind), e.ID)
	}
	return err
}
