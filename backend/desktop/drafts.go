package desktop

import (
	"context"
	"encoding/json"
	"maps"
	"sync/atomic"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
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
// knows. One goroutine owns them.
type drafts struct {
	s    *session
	ops  chan draftOp
	done chan struct{}
	// view is the local drafts by conversation; each map never changes.
	view atomic.Pointer[map[chat.ConversationID]cache.Draft]
	// tries are the drafts on their way to the server; owned by run.
	tries map[chat.ConversationID]try
}

// try is one text on its way to the server. However often that fails, it is
// one command: the server must not note it again and again.
type try struct {
	id      chat.CommandID
	text    string
	comment bool
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
	// sentDraft: the draft became a message; local.db has dropped it already.
	sentDraft  struct{ conversation chat.ConversationID }
	wakeDrafts struct{}
	sentAway   struct {
		draft cache.Draft
		res   protocol.Result
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
	d := &drafts{s: s, ops: make(chan draftOp), done: make(chan struct{}), tries: map[chat.ConversationID]try{}}
	all := map[chat.ConversationID]cache.Draft{}
	due := map[chat.ConversationID]time.Time{}
	for _, x := range kept {
		all[x.Conversation] = x
		if !x.Synced {
			due[x.Conversation] = time.Now()
		}
	}
	d.view.Store(&all)
	go d.run(due)
	return d, nil
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

func (d *drafts) sent(c chat.ConversationID) { d.post(sentDraft{c}) }
func (d *drafts) wake()                      { d.post(wakeDrafts{}) }

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
			flying = true
			id := d.try(x)
			go func() { back <- d.send(x, id) }()
		}
		timer.Reset(next)
	}
}

// try gives the command's id for a draft: the same for the same text.
func (d *drafts) try(x cache.Draft) chat.CommandID {
	t, ok := d.tries[x.Conversation]
	if !ok || t.text != x.Text || t.comment != x.Comment {
		t = try{id: chat.NewID[chat.Command](), text: x.Text, comment: x.Comment}
		d.tries[x.Conversation] = t
	}
	return t.id
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
		err := d.s.local.PutDraft(d.s.ctx, op.draft)
		if err == nil {
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
		d.forget(op.conversation, due)
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
func (d *drafts) send(x cache.Draft, id chat.CommandID) sentAway {
	kind, args := protocol.DraftPut, any(protocol.DraftPutArgs{Conversation: x.Conversation, Text: x.Text, Comment: x.Comment})
	if x.Text == "" {
		kind, args = protocol.DraftDrop, protocol.ConversationArgs{Conversation: x.Conversation}
	}
	b, err := json.Marshal(args)
	if err != nil {
		return sentAway{draft: x, err: err}
	}
	ctx, cancel := context.WithTimeout(d.s.ctx, 20*time.Second)
	defer cancel()
	res, err := d.s.submit(ctx, chat.Command{ID: id, Kind: kind, Args: b})
	if err == nil && res.Problem == nil {
		err = d.confirm(ctx, x, res)
	}
	return sentAway{x, res, err}
}

// confirm brings the server's copy into the cache before the local one goes.
func (d *drafts) confirm(ctx context.Context, x cache.Draft, res protocol.Result) error {
	row := cache.Row{Kind: chat.EntityDraft, ID: x.Conversation.String(), Conversation: x.Conversation, Op: chat.OpPut, Data: res.Data}
	if x.Text == "" {
		row.Op, row.Ver, row.Data = chat.OpDelete, res.Seq, nil
	}
	if (x.Text == "" && res.Seq == 0) || (x.Text != "" && len(res.Data) == 0) {
		return nil
	}
	_, err := d.s.cache.PutRows(ctx, []cache.Row{row})
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
	case x.err != nil, refused != nil && temporary(refused.Code):
		d.again(c, due)
		return
	case refused != nil && now.Text != "":
		// Refused (no access any more, the conversation is gone): whatever the
		// reason, what somebody has typed stays on this device.
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
