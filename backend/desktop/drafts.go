package desktop

import (
	"context"
	"encoding/json"
	"maps"
	"sync/atomic"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
)

const (
	draftRest  = time.Second     // of the keys before a draft goes to the server
	draftRetry = 5 * time.Second // after a failure, then doubling
	draftSlow  = 5 * time.Minute // at most
)

// drafts keeps unsent text: in local.db with each change, on the server once
// the keys have rested. A draft that the server has confirmed is in the cache
// and leaves local.db; an emptied one stays there as a mark until the server
// knows. Another device's draft that this one's text was not typed over is never
// replaced: the text stays here until that one is sent or emptied. One goroutine
// owns them.
type drafts struct {
	s      *session
	device string // what this device calls itself
	ops    chan draftOp
	done   chan struct{}
	// view is the local drafts by conversation; each map never changes.
	view atomic.Pointer[map[chat.ConversationID]cache.Draft]
	// tries are the drafts on their way to the server; owned by run.
	tries map[chat.ConversationID]try
}

// try is one text on its way to the server. However often that fails, it is
// one command: the server must not note it again and again. While there is one
// for a conversation, the server may have a draft that nothing here shows.
type try struct {
	id      chat.CommandID // zero: the text has changed since the last one
	text    string
	comment bool
	base    int64
	failed  int
}

type draftOp interface{ draftOp() }

type (
	saveDraft struct {
		draft cache.Draft
		reply chan error
	}
	dropDraft struct {
		conversation chat.ConversationID
		reply        chan dropped
	}
	// sentDraft: the draft became a text on its way; local.db has emptied it already.
	sentDraft struct {
		conversation chat.ConversationID
		at           chat.Time
	}
	wakeDrafts struct{}
	sentAway   struct {
		draft cache.Draft
		res   outbox.Answer
		err   error
	}
)

func (saveDraft) draftOp()  {}
func (dropDraft) draftOp()  {}
func (sentDraft) draftOp()  {}
func (wakeDrafts) draftOp() {}
func (sentAway) draftOp()   {}

type dropped struct {
	text string
	err  error
}

func openDrafts(s *session) (*drafts, error) {
	kept, err := s.local.Drafts(s.ctx)
	if err != nil {
		return nil, err
	}
	device, err := deviceOf(s)
	if err != nil {
		return nil, err
	}
	d := &drafts{s: s, device: device, ops: make(chan draftOp), done: make(chan struct{}), tries: map[chat.ConversationID]try{}}
	all := map[chat.ConversationID]cache.Draft{}
	due := map[chat.ConversationID]time.Time{}
	for _, x := range kept {
		all[x.Conversation] = x
		if !x.Synced {
			due[x.Conversation] = time.Now()
			d.tries[x.Conversation] = try{} // one before this start may be on its way still
		}
	}
	d.view.Store(&all)
	go d.run(due)
	return d, nil
}

// settingDevice is the setting that keeps what this device calls itself.
const settingDevice = "device"

// deviceOf gives the name by which the member's devices tell their drafts apart.
func deviceOf(s *session) (string, error) {
	var name string
	raw, found, err := s.local.Setting(s.ctx, settingDevice)
	if err != nil || found && json.Unmarshal(raw, &name) == nil && name != "" {
		return name, err
	}
	name = chat.NewID[drafts]().String()
	b, err := json.Marshal(name)
	if err != nil {
		return "", err
	}
	return name, s.local.PutSetting(s.ctx, settingDevice, b)
}

// close waits for the goroutine, which ends with the session's context.
func (d *drafts) close() { <-d.done }

func (d *drafts) post(x draftOp) bool {
	select {
	case d.ops <- x:
		return true
	case <-d.done:
		return false
	}
}

// save keeps a draft; it is on disk on return. One that is Synced stays on this
// device.
func (d *drafts) save(x cache.Draft) error {
	reply := make(chan error, 1)
	if !d.post(saveDraft{x, reply}) {
		return errClosing
	}
	select {
	case err := <-reply:
		return err
	case <-d.done:
		return errClosing
	}
}

// drop forgets this device's draft for good and gives its text back.
func (d *drafts) drop(c chat.ConversationID) (string, error) {
	reply := make(chan dropped, 1)
	if !d.post(dropDraft{c, reply}) {
		return "", errClosing
	}
	select {
	case x := <-reply:
		return x.text, x.err
	case <-d.done:
		return "", errClosing
	}
}

func (d *drafts) sent(c chat.ConversationID, at chat.Time) { d.post(sentDraft{c, at}) }
func (d *drafts) wake()                                    { d.post(wakeDrafts{}) }

// local gives this device's draft of a conversation; one with empty text says
// that the server's is to be ignored.
func (d *drafts) local(c chat.ConversationID) (cache.Draft, bool) {
	x, ok := (*d.view.Load())[c]
	return x, ok
}

func (d *drafts) set(x cache.Draft) {
	next := maps.Clone(*d.view.Load())
	next[x.Conversation] = x
	d.view.Store(&next)
}

func (d *drafts) unset(c chat.ConversationID) {
	next := maps.Clone(*d.view.Load())
	delete(next, c)
	d.view.Store(&next)
}

func (d *drafts) run(due map[chat.ConversationID]time.Time) {
	defer close(d.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	back := make(chan sentAway, 1)
	flying := false
	for {
		select {
		case op := <-d.ops:
			d.take(op, due)
		case x := <-back:
			flying = false
			d.returned(x, due)
		case <-timer.C:
		case <-d.s.ctx.Done():
			if flying {
				<-back
			}
			return
		}
		next := time.Hour
		for c, at := range due {
			if wait := time.Until(at); wait > 0 {
				next = min(next, wait)
				continue
			}
			if flying {
				continue
			}
			x, ok := d.local(c)
			if !ok || x.Synced || chat.CheckText("text", x.Text, chat.MaxTextBytes) != nil { // what the server cannot take stays here
				delete(due, c)
				continue
			}
			if d.textWaits(c) { // the message, once sent, drops the server's draft: this one must come after
				due[c] = time.Now().Add(draftRest)
				next = min(next, draftRest)
				continue
			}
			now, err := d.standing(c)
			if err != nil {
				d.again(c, due)
				continue
			}
			unseen := d.unseen(x, now)
			if unseen && x.Text != "" && !d.tried(x) { // both stay: each where it was typed
				due[c] = time.Now().Add(draftRetry)
				next = min(next, draftRetry)
				continue
			}
			if x.Text == "" && (unseen || !d.away(c, now)) { // the message has taken it along, or another has its place
				if d.s.local.DropDraft(d.s.ctx, c) == nil {
					d.forget(c, due)
				} else {
					d.again(c, due)
				}
				continue
			}
			flying = true
			t := d.try(x, now.upto)
			go func() { back <- d.send(x, t) }()
		}
		timer.Reset(next)
	}
}

// try gives the command for a draft: the same for the same text.
func (d *drafts) try(x cache.Draft, base int64) try {
	t := d.tries[x.Conversation]
	if !d.tried(x) {
		if !t.id.IsZero() {
			t.failed = 0 // with another text
		}
		t = try{id: chat.NewID[chat.Command](), text: x.Text, comment: x.Comment, base: base, failed: t.failed}
		d.tries[x.Conversation] = t
	}
	return t
}

// tried reports whether a text has been handed in without an answer: it may have
// been there before what the server has now.
func (d *drafts) tried(x cache.Draft) bool {
	t := d.tries[x.Conversation]
	return !t.id.IsZero() && t.text == x.Text && t.comment == x.Comment
}

// standing is what is known here of the server's draft of a conversation.
type standing struct {
	draft chat.Draft // zero: none
	upto  int64      // how far the log is known
	epoch string
}

func (d *drafts) standing(c chat.ConversationID) (now standing, err error) {
	now.upto, now.epoch = d.s.cache.Position() // first: what comes meanwhile is not known yet
	raw, err := d.s.cache.Draft(d.s.ctx, c)
	if chat.ErrorCode(err) == chat.CodeNotFound {
		return now, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &now.draft)
	}
	now.upto = max(now.upto, now.draft.Ver)
	return now, err
}

// unseen reports whether the server has a draft of another device that is newer
// than what x was typed over.
func (d *drafts) unseen(x cache.Draft, now standing) bool {
	return now.draft.Text != "" && now.draft.Device != d.device && now.draft.Ver > baseOf(x, now)
}

// baseOf gives how far the log was known when x was begun.
func baseOf(x cache.Draft, now standing) int64 {
	if x.Epoch != now.epoch {
		return 0 // another log: its numbers say nothing in this one
	}
	return x.Base
}

// based gives a draft with what it was typed over: that of the one before it in
// the composer, else what is known now.
func (d *drafts) based(x cache.Draft) cache.Draft {
	if old, ok := d.local(x.Conversation); ok {
		x.Base, x.Epoch = old.Base, old.Epoch
	} else if now, err := d.standing(x.Conversation); err == nil {
		x.Base, x.Epoch = now.upto, now.epoch
	}
	return x
}

// upto gives the draft that a text which is sent off was made from: any of the
// server's that is not newer.
func (d *drafts) upto(c chat.ConversationID) *int64 {
	now, err := d.standing(c)
	if err != nil {
		now.upto = 0
	}
	if x, ok := d.local(c); ok && d.unseen(x, now) {
		now.upto = baseOf(x, now)
	}
	return &now.upto
}

// away reports whether the server may have a draft of a conversation: it is
// known to, was told of one, or it cannot be known, because the cache is not up
// to date or the chat is not in it.
func (d *drafts) away(c chat.ConversationID, now standing) bool {
	if _, tried := d.tries[c]; tried || d.s.report.Load().Status != sync.StatusLive {
		return true
	}
	_, reachable, err := d.s.placeOf(d.s.ctx, c)
	return err != nil || !reachable || now.draft.Ver > 0
}

// again puts off a draft that could not be brought to the server.
func (d *drafts) again(c chat.ConversationID, due map[chat.ConversationID]time.Time) {
	t := d.tries[c]
	due[c] = time.Now().Add(min(draftRetry<<min(t.failed, 10), draftSlow))
	t.failed++
	d.tries[c] = t
}

func (d *drafts) textWaits(c chat.ConversationID) bool {
	for _, e := range d.s.outbox.Snapshot().Of(c) {
		if e.Text() && e.Problem == nil {
			return true
		}
	}
	return false
}

func (d *drafts) take(op draftOp, due map[chat.ConversationID]time.Time) {
	switch op := op.(type) {
	case saveDraft:
		op.draft = d.based(op.draft)
		err := d.s.local.PutDraft(d.s.ctx, op.draft)
		if err == nil {
			if _, tried := d.tries[op.draft.Conversation]; tried {
				// Another command, even for the same text: the server may have dropped
				// that. But it may have an older one, whose answer is still to come.
				d.tries[op.draft.Conversation] = try{}
			}
			old, had := d.local(op.draft.Conversation)
			d.set(op.draft)
			if !op.draft.Synced {
				due[op.draft.Conversation] = time.Now().Add(draftRest)
			}
			if (op.draft.Text == "") != (!had || old.Text == "") {
				d.s.e.tell.list(op.draft.Conversation.String())
			}
		}
		op.reply <- err
	case dropDraft:
		x, ok := d.local(op.conversation)
		if !ok || x.Text == "" {
			op.reply <- dropped{err: chat.Errorf(chat.CodeNotFound, "This draft is no longer here.")}
			return
		}
		err := d.s.local.DropDraft(d.s.ctx, op.conversation)
		if err == nil {
			d.forget(op.conversation, due)
			d.s.e.tell.state()
			d.s.e.tell.list(op.conversation.String())
		}
		op.reply <- dropped{x.Text, err}
	case sentDraft:
		d.set(d.based(cache.Draft{Conversation: op.conversation, UpdatedAt: op.at}))
		due[op.conversation] = time.Now().Add(draftRest)
		d.s.e.tell.list(op.conversation.String())
	case wakeDrafts:
		for c := range due {
			due[c] = time.Now()
		}
	}
}

func (d *drafts) forget(c chat.ConversationID, due map[chat.ConversationID]time.Time) {
	d.unset(c)
	delete(due, c)
	delete(d.tries, c)
}

// send brings one draft to the server. Each text is a command of its own: the
// newest counts, whatever became of the ones before.
func (d *drafts) send(x cache.Draft, t try) sentAway {
	kind, args := protocol.DraftPut, any(protocol.DraftPutArgs{Conversation: x.Conversation, Text: x.Text, Comment: x.Comment, Base: &t.base, Device: d.device})
	if x.Text == "" {
		kind, args = protocol.DraftDrop, protocol.DraftDropArgs{Conversation: x.Conversation, Base: &t.base}
	}
	b, err := json.Marshal(args)
	if err != nil {
		return sentAway{draft: x, err: err}
	}
	ctx, cancel := context.WithTimeout(d.s.ctx, 20*time.Second)
	defer cancel()
	res, err := d.s.submit(ctx, chat.Command{ID: t.id, Kind: kind, Args: b})
	if err == nil && res.Problem == nil {
		err = d.confirm(ctx, x, res)
	}
	return sentAway{x, res, err}
}

// confirm brings the server's copy into the cache before the local one goes.
func (d *drafts) confirm(ctx context.Context, x cache.Draft, res outbox.Answer) error {
	row := cache.Row{Kind: chat.EntityDraft, ID: x.Conversation.String(), Conversation: x.Conversation, Op: chat.OpPut, Data: res.Data}
	if x.Text == "" {
		row.Op, row.Ver, row.Data = chat.OpDelete, res.Seq, nil
	}
	if (x.Text == "" && res.Seq == 0) || (x.Text != "" && len(res.Data) == 0) {
		return nil
	}
	_, err := d.s.cache.PutRowsOf(ctx, res.Era, []cache.Row{row})
	return err
}

func (d *drafts) returned(x sentAway, due map[chat.ConversationID]time.Time) {
	c := x.draft.Conversation
	now, ok := d.local(c)
	if !ok || now.UpdatedAt != x.draft.UpdatedAt || now.Text != x.draft.Text {
		return // changed since, or sent: that is due by itself
	}
	refused := x.res.Problem
	switch {
	case refused != nil && refused.Code == chat.CodeConflict: // what it has become is in the log
		d.tries[c] = try{failed: d.tries[c].failed}
		d.again(c, due)
		return
	case x.err != nil, refused != nil && temporary(refused.Code):
		d.again(c, due)
		return
	case refused != nil:
		// Refused (no access any more, the conversation is gone): whatever the
		// reason, what somebody has typed stays on this device, and so does that
		// they have emptied what the server still has.
		d.s.e.log.Warn("draft refused", "code", refused.Code)
		if err := d.s.local.MarkDraftSynced(d.s.ctx, c, now.UpdatedAt); err != nil {
			d.s.e.log.Warn("note draft", "error", err) // refused again after a restart: harmless
		}
		now.Synced = true
		d.set(now)
		delete(due, c)
		delete(d.tries, c)
		d.s.e.tell.state()
		d.s.e.tell.list(c.String())
		return
	}
	if err := d.s.local.DropDraft(d.s.ctx, c); err != nil {
		d.again(c, due)
		return
	}
	d.forget(c, due)
}

// temporary reports whether a refusal says nothing about the draft itself.
func temporary(code chat.Code) bool {
	switch code {
	case chat.CodeUnavailable, chat.CodeInternal, chat.CodeTooMany, chat.CodeTooSoon, chat.CodeUnauthorized:
		return true
	}
	return false
}
