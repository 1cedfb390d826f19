package simulation

import (
	"bytes"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "github.com/mattn/go-sqlite3" // reads a desk's files behind its back

	"parley/backend/chat"
	"parley/backend/desktop"
)

// check looks at a desk at any moment, with everything broken. The caller holds
// the desk's mu.
func (w *world) check(d *desk) {
	if len(d.said) == 0 {
		return
	}
	chats := []string{d.said[d.rng.IntN(len(d.said))].conversation, d.said[len(d.said)-1].conversation}
	for _, id := range slices.Compact(chats) {
		if len(w.suspicions(d, id)) == 0 {
			continue
		}
		// What is shown and what is kept were read one after the other, and a
		// change may have come in between: it must be wrong twice.
		time.Sleep(10 * time.Millisecond)
		for _, s := range w.suspicions(d, id) {
			w.violation("%s", s)
		}
	}
}

// checkList wants every chat listed that was listed when the same person looked
// last, if nobody has erased it, be it that a backup brings it back, or taken it
// away. The caller holds the desk's mu.
func (w *world) checkList(d *desk, rows []desktop.ListRow) {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	now := make(map[chat.ConversationID]bool, len(rows))
	for _, r := range rows {
		now[w.read.conversation(r.Conversation).ID] = true
	}
	for id := range d.listed {
		if !now[id] && w.server.threads[id] != nil && !w.server.changed[d.member.ID] && !w.isErased(id.String()) {
			w.violation("%s does not list %s any more", d.name, id)
		}
	}
	d.listed = now
}

// suspicions are what seems to be wrong with a chat that somebody has written in.
func (w *world) suspicions(d *desk, id string) (wrong []string) {
	if d.engine == nil || d.disk.killed() {
		return nil
	}
	unsent, err := d.engine.Unsent()
	if err != nil {
		return nil
	}
	kept := map[string]bool{}
	for _, u := range unsent {
		kept[u.Message] = true
	}
	w.checkThread(d, id, kept, func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) })
	return wrong
}

// checkThread looks at one thread as its reader sees it.
func (w *world) checkThread(d *desk, id string, unsent map[string]bool, violation func(string, ...any)) {
	page, err := d.engine.Thread(id, desktop.ThreadQuery{Limit: 200})
	if err != nil {
		page = desktop.ThreadPage{}
	}
	ids, tokens := map[string]bool{}, map[string]bool{}
	shown := func(message, text string) {
		if ids[message] {
			violation("%s shows message %s twice", d.name, message)
		}
		ids[message] = true
		token := text[strings.LastIndexByte(text, '>')+1:]
		token = strings.TrimRight(token, "*")
		if tokens[token] && token != "" {
			violation("%s shows %q twice", d.name, token)
		}
		tokens[token] = true
		if strings.Contains(text, "<") && !strings.HasPrefix(text, w.mark(id)) && !strings.Contains(text, "customer") {
			violation("%s shows %q in another chat, %s", d.name, text, id)
		}
	}
	last := int64(0)
	for _, m := range w.read.thread(page.Messages) {
		if m.Number <= last {
			violation("%s shows number %d after %d", d.name, m.Number, last)
		}
		last = m.Number
		shown(m.ID.String(), m.Text())
	}
	for _, p := range page.Pending {
		shown(p.Message, p.Text)
	}
	w.checkDraftOf(d, id, violation)
	numbers := w.server.numbers(id)
	for _, x := range d.said {
		if x.conversation != id || !x.sure || x.dropped || ids[x.message] || unsent[x.message] {
			continue
		}
		n, there := numbers[x.message]
		if n > page.Head && w.server.isRestored() {
			continue // lost with the backup and sent again from elsewhere, while this desk still loads what is left
		}
		switch {
		case there && err == nil && !page.Loading && len(page.Messages) > 0 && page.To == page.Head && (n > page.Head || n >= page.From):
			violation("%s: own text %s, number %d, is not shown in %d to %d of %d", d.name, x.token, n, page.From, page.To, page.Head)
		case !there && !w.isErased(id) && !w.server.isRestored(): // from then on it may be waiting for the rest of its thread
			violation("%s: own text %s is nowhere: neither in the outbox nor on the server", d.name, x.token)
		}
	}
}

func (w *world) checkDraftOf(d *desk, id string, violation func(string, ...any)) {
	view, err := d.engine.Conversation(id)
	if err == nil && view.Draft != nil && !strings.HasPrefix(view.Draft.Text, w.mark(id)) {
		violation("%s: the draft %q stands in %s", d.name, view.Draft.Text, id)
	}
}

func (w *world) isErased(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.erased[id]
}

// numbers gives a thread's messages, by id, with their numbers.
func (s *server) numbers(id string) map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int64{}
	conv, err := chat.ParseID[chat.Conversation](id)
	if t := s.threads[conv]; err == nil && t != nil {
		for _, m := range t.messages {
			out[m.ID.String()] = m.Number
		}
	}
	return out
}

// settle makes everything whole and waits until nothing is left to do. Then
// every promise must hold.
func (w *world) settle() {
	w.note("whole again")
	w.mu.Lock()
	w.whole, w.slow, w.down = true, 0, false
	w.mu.Unlock()
	for _, d := range w.desks {
		d.mu.Lock()
		d.disk.set("", 0, false)
		if d.engine == nil || d.disk.killed() {
			d.stop()
			d.start()
		}
		d.line.set(true)
		d.mu.Unlock()
	}
	w.server.hide(false)
	w.sending.Wait()
	if w.server.isLying() {
		time.Sleep(25 * time.Hour) // everybody compares once a day
	}
	for _, d := range w.desks {
		why := ""
		for end := time.Now().Add(settleTime); ; time.Sleep(3 * time.Second) {
			if why = w.unsettled(d); why == "" {
				break
			}
			if time.Now().After(end) {
				w.violation("%s does not come to rest: %s", d.name, why)
				return
			}
		}
	}
	// Drafts rest before they go to the server, requests may still be on their
	// way, and a line that is silent since before is noticed after two beats.
	time.Sleep(90 * time.Second)
	for end := time.Now().Add(settleTime); !w.proven() && time.Now().Before(end); {
		time.Sleep(30 * time.Second) // a question that got lost on such a line is asked again
	}
	for _, d := range w.desks {
		d.mu.Lock()
		w.final(d)
		d.mu.Unlock()
	}
	for _, v := range w.guests {
		v.final()
	}
}

// proven reports whether every desk has compared what it holds with the server.
func (w *world) proven() bool {
	for _, d := range w.desks {
		d.mu.Lock()
		st, err := d.engine.State()
		d.mu.Unlock()
		if err != nil || !st.Connection.Proven {
			return false
		}
	}
	return true
}

// unsettled says what a desk still has to do.
func (w *world) unsettled(d *desk) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.engine == nil {
		return "off"
	}
	st, err := d.engine.State()
	if err != nil || st.Account == nil {
		return fmt.Sprint("no state: ", err)
	}
	if st.Connection.Status != "live" {
		return fmt.Sprintf("%+v", st.Connection)
	}
	if again := d.decide(); again > 0 {
		return fmt.Sprintf("%d texts are sent again: %s", again, d.waiting())
	}
	if st.Outbox.Queued > 0 {
		return fmt.Sprintf("%d texts wait: %s", st.Outbox.Queued, d.waiting())
	}
	list, err := d.engine.List(desktop.ListQuery{Limit: 200})
	if err != nil {
		return err.Error()
	}
	if why := w.server.differs(d, list.Rows); why != "" {
		return why
	}
	for _, row := range list.Rows {
		c := w.read.conversation(row.Conversation)
		for before := int64(0); ; {
			page, err := d.engine.Thread(c.ID.String(), desktop.ThreadQuery{Before: before, Limit: 200})
			if err != nil {
				return err.Error()
			}
			if page.Loading || !page.Complete && len(page.Messages) == 0 {
				return "the thread " + c.ID.String() + " is not here"
			}
			if page.Complete {
				break
			}
			before = page.From
		}
	}
	return ""
}

// waiting lists the texts that are on their way.
func (d *desk) waiting() string {
	var out []string
	seen := map[string]bool{}
	for _, x := range d.said {
		if seen[x.conversation] {
			continue
		}
		seen[x.conversation] = true
		page, err := d.engine.Thread(x.conversation, desktop.ThreadQuery{Limit: 1})
		if err != nil {
			out = append(out, err.Error())
		}
		for _, p := range page.Pending {
			out = append(out, fmt.Sprintf("%s %s %s %d tries %v", p.Text, p.Kind, p.State, p.Attempts, p.Problem))
		}
	}
	unsent, err := d.engine.Unsent()
	if err != nil {
		out = append(out, err.Error())
	}
	for _, u := range unsent {
		out = append(out, fmt.Sprintf("unsent %s %s %d tries %v %v", u.Text, u.State, u.Attempts, u.Reachable, u.Problem))
	}
	return strings.Join(out, "\n  ")
}

// differs says in what a desk's list differs from the server's, "" if nothing.
func (s *server) differs(d *desk, rows []desktop.ListRow) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := s.visible(s.members[d.member.ID])
	if len(want) != len(rows) {
		return fmt.Sprintf("%d chats instead of %d", len(rows), len(want))
	}
	for _, row := range rows {
		c := d.w.read.conversation(row.Conversation)
		if t := s.threads[c.ID]; t == nil || t.Ver != c.Ver || !slices.Contains(want, t) {
			return fmt.Sprintf("chat %s has version %d", c.ID, c.Ver)
		}
	}
	return ""
}

// final compares a desk at rest with the server. The caller holds mu.
func (w *world) final(d *desk) {
	if d.engine == nil {
		return
	}
	if st, err := d.engine.State(); err != nil || !st.Connection.Proven {
		w.violation("%s has not compared what it holds with the server: %+v (%v)", d.name, st.Connection, err)
	}
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	m := w.server.members[d.member.ID]
	want := w.server.visible(m)
	list, err := d.engine.List(desktop.ListQuery{Limit: 200})
	if err != nil {
		w.violation("%s: list: %v", d.name, err)
		return
	}
	if len(list.Rows) != len(want) {
		w.violation("%s lists %d chats, the server %d", d.name, len(list.Rows), len(want))
	}
	unread := int64(0)
	for _, t := range want {
		i := slices.IndexFunc(list.Rows, func(r desktop.ListRow) bool { return w.read.conversation(r.Conversation).ID == t.ID })
		if i < 0 {
			w.violation("%s does not list %s", d.name, t.ID)
			continue
		}
		got := w.read.conversation(list.Rows[i].Conversation)
		if recounted := t.Recount(t.messages); got.Ver != t.Ver || got.Unread != recounted.Unread || got.LastNumber != recounted.LastNumber || got.ReadNumber != recounted.ReadNumber {
			w.violation("%s: chat %s is %+v, the server's is %+v", d.name, t.ID, got, recounted)
		}
		if t.Unread > 0 {
			unread++
		}
		w.finalThread(d, t)
		w.finalDraft(d, t)
	}
	if counts, err := d.engine.Counts(""); err != nil || counts.Quick["unread"] != unread {
		w.violation("%s counts %d unread chats (%v), there are %d", d.name, counts.Quick["unread"], err, unread)
	}
	w.finalSaid(d)
	w.finalDisk(d, chat.ViewOf(*m))
}

func (w *world) finalThread(d *desk, t *thread) {
	var got []chat.Message
	for before := int64(0); ; {
		page, err := d.engine.Thread(t.ID.String(), desktop.ThreadQuery{Before: before, Limit: 200})
		if err != nil {
			w.violation("%s: thread %s: %v", d.name, t.ID, err)
			return
		}
		got = append(w.read.thread(page.Messages), got...)
		if page.Complete || len(page.Messages) == 0 {
			break
		}
		before = page.From
	}
	if len(got) != len(t.messages) {
		w.violation("%s has %d messages of %s, the server %d", d.name, len(got), t.ID, len(t.messages))
		return
	}
	for i, m := range got {
		if want := t.messages[i]; m.ID != want.ID || m.Number != want.Number || m.Ver != want.Ver || m.Text() != want.Text() {
			w.violation("%s: message %d of %s is %s version %d, the server's %s version %d", d.name, m.Number, t.ID, m.ID, m.Ver, want.ID, want.Ver)
		}
	}
}

// finalDraft asks for the text that the member has left in a chat. Where other
// desks of theirs have sent something, that may have taken the draft along; a
// backup brings back what has been sent or emptied since.
func (w *world) finalDraft(d *desk, t *thread) {
	x := d.drafts[t.ID.String()]
	if x == nil || w.drafter(d.member.ID, t.ID.String()) != d || w.sendsElsewhere(d, t.ID.String()) > 0 || w.server.restored {
		return
	}
	view, err := d.engine.Conversation(t.ID.String())
	if err != nil {
		w.violation("%s: chat %s: %v", d.name, t.ID, err)
		return
	}
	got := ""
	if view.Draft != nil {
		got = view.Draft.Text
	}
	if !slices.Contains(x.texts, got) {
		w.violation("%s: the draft in %s is %q, not one of %q", d.name, t.ID, got, x.texts)
	}
}

// finalSaid looks for everything that was sent off: on the server once, or with
// its author.
func (w *world) finalSaid(d *desk) {
	unsent, err := d.engine.Unsent()
	if err != nil {
		w.violation("%s: unsent: %v", d.name, err)
	}
	last := map[string]int64{}
	// What was taken from the desk before the server forgot it, nobody has.
	gone := w.server.restored && w.server.changed[d.member.ID]
	for _, x := range d.said {
		count, number := 0, int64(0)
		for _, t := range w.server.threads {
			for _, m := range t.messages {
				if strings.HasSuffix(m.Text(), ">"+x.token) {
					count++
					number = m.Number
					if t.ID.String() != x.conversation {
						w.violation("%s: %s was said in another chat", d.name, x.token)
					}
				}
			}
		}
		here := slices.ContainsFunc(unsent, func(u desktop.UnsentEntry) bool { return strings.HasSuffix(u.Text, ">"+x.token) })
		switch {
		case count > 1:
			w.violation("%s: the customer got %s %d times", d.name, x.token, count)
		case count == 0 && !here && x.sure && !x.dropped && !w.isErased(x.conversation) && !gone:
			w.violation("%s: %s is lost; waiting:\n  %s", d.name, x.token, d.waiting())
		case count == 1 && x.sure:
			if number < last[x.conversation] && !w.server.restored { // what was lost is sent again after the rest
				w.violation("%s: %s, number %d, was overtaken", d.name, x.token, number)
			}
			last[x.conversation] = number
		}
	}
}

// finalDisk looks for what the member may not see any more, in the file itself.
func (w *world) finalDisk(d *desk, view chat.View) {
	files, err := filepath.Glob(filepath.Join(d.dir, "accounts", "*", "cache.db"))
	if err != nil || len(files) != 1 {
		w.violation("%s has the caches %v (%v)", d.name, files, err)
		return
	}
	db, err := sql.Open("sqlite3", "file:"+files[0]+"?mode=ro")
	if err != nil {
		w.violation("%s: open the cache: %v", d.name, err)
		return
	}
	defer db.Close()
	each := func(query string, look func(data []byte)) {
		rows, err := db.Query(query)
		if err != nil {
			w.violation("%s: read the cache: %v", d.name, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var data []byte
			if err := rows.Scan(&data); err != nil {
				w.violation("%s: read the cache: %v", d.name, err)
			}
			look(data)
		}
		if err := rows.Err(); err != nil {
			w.violation("%s: read the cache: %v", d.name, err)
		}
	}
	for _, table := range []string{"message", "conversation", "contact", "draft"} {
		each("select data from "+table+" where data is not null", func(data []byte) {
			for i, b := range w.server.brands {
				tag := fmt.Appendf(nil, `\u003cb%d\u003e`, i)
				if !view.Sees(b.ID) && (bytes.Contains(data, tag) || bytes.Contains(data, []byte(b.ID.String()))) {
					w.violation("%s still has on its disk: %s", d.name, data)
				}
			}
		})
	}
	// Members say the id of the chat they write in. The index leaves out how a
	// word begins if the one before begins so too.
	each("select block from message_fts_data", func(block []byte) {
		for _, t := range w.server.threads {
			if end := t.ID.String()[28:]; !view.Sees(t.Brand) && bytes.Contains(block, []byte(end)) {
				w.violation("%s still has in its index: %s of chat %s", d.name, end, t.ID)
			}
		}
	})
}
