package desktop

import (
	"context"
	"encoding/json"
	"fmt"
	stdsync "sync"
	"sync/atomic"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
)

// bootstrapDays is how far back the cache reaches by itself; older threads are
// fetched when they are opened or found.
const bootstrapDays = 30

// session is one open account: its two databases and what keeps them true.
// It is made and closed by the engine's goroutine; its reads are for everybody.
type session struct {
	e       *Engine
	account record
	me      chat.MemberID
	cache   *cache.Cache
	local   *cache.Local
	outbox  *outbox.Outbox
	drafts  *drafts
	ctx     context.Context
	cancel  context.CancelFunc
	spawns  stdsync.Mutex // between spawn and close only
	helpers stdsync.WaitGroup
	net     atomic.Pointer[network] // nil until connected
	line    atomic.Pointer[line]
	report  atomic.Pointer[sync.Report]
	told    atomic.Int64            // when the window last heard of the connection, monotonic
	clock   atomic.Pointer[reading] // the server's, as read last; nil before that
	woken   atomic.Int64            // when an answer last woke sync, monotonic; 0: never
	viewing atomic.Pointer[chat.ConversationID]
	shown   atomic.Pointer[sync.List] // what the window asked for last
	threads stdsync.Map               // of chat.ConversationID: those the window has read
	search  searching
	retry   chan struct{} // try to connect now
	away    chan struct{} // the backend inside does not take the session any more
	counted atomic.Pointer[cache.Stats]
	later   atomic.Pointer[later] // nil before it was first read
	laterMu stdsync.Mutex         // reading it anew
	tells   chat.Time             // since when failures are told; see told.go
	telling stdsync.Mutex         // one at a time, or one is told twice
	recount chan struct{}         // what is cached has changed
	behind  atomic.Bool           // another account is on the screen; see behind.go
	missing chan struct{}         // something may wait in a chat that is not cached
	locked  atomic.Bool           // the keychain has not given the key to what was not sent
	lost    atomic.Int64          // texts whose key is lost
	// replaced: the workspace that is in the folder now is being opened in place of this one.
	replaced atomic.Bool

	looking stdsync.Mutex
	looks   map[chat.CommandID]int                  // how often a text was seen waiting
	late    atomic.Pointer[map[chat.CommandID]bool] // those that were too often; see unconfirmed.go

	begun     time.Time
	lookAfter chan struct{} // the limits have changed
	worked    atomic.Int64  // when the agent last opened a chat or typed, monotonic
	breakOff  atomic.Pointer[context.CancelFunc]
	openedMu  stdsync.Mutex
	openedAt  map[chat.ConversationID]chat.Time // not in the cache yet
}

// openSession opens an account's folder; connecting goes on in the background.
func (e *Engine) openSession(r record) (*session, error) {
	dir := e.folder(r.ID)
	local, err := cache.OpenLocalOn(e.opt.Disk, dir)
	if err != nil {
		return nil, fmt.Errorf("open account: %w", err)
	}
	s := &session{e: e, account: r, me: r.Member, local: local, retry: make(chan struct{}, 1), away: make(chan struct{}, 1), recount: make(chan struct{}, 1), missing: make(chan struct{}, 1),
		begun: time.Now(), lookAfter: make(chan struct{}, 1), openedAt: map[chat.ConversationID]chat.Time{}, looks: map[chat.CommandID]int{}}
	s.ctx, s.cancel = context.WithCancel(e.ctx)
	if s.cache, err = cache.Open(dir, cache.Options{Log: e.log, Disk: e.opt.Disk, Keys: local, OnDamage: func(error) { s.post(damaged{s}) },
		// What a search on the screen has left out is there now.
		OnIndexed: func() { s.e.tell.list("") }}); err == nil {
		err = s.unseal()
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("open account: %w", err)
	}
	s.forgetFiles()
	s.beginTelling(s.ctx)
	s.line.Store(newLine())
	s.report.Store(&sync.Report{Status: sync.StatusConnecting})
	if r.SignedOut {
		s.report.Store(&sync.Report{Status: sync.StatusSignedOut})
	}
	if s.outbox, err = outbox.Open(s.ctx, s.outboxConfig()); err == nil {
		s.drafts, err = openDrafts(s)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("open account: %w", err)
	}
	s.countedBefore()
	s.spawn(s.count)
	s.spawn(s.findMissing)
	s.spawn(s.care)
	s.spawn(s.watchWaiting)
	if !r.SignedOut {
		s.spawn(s.connect)
		s.spawn(s.watchNetwork)
	}
	return s, nil
}

// close ends everything of the session and waits for it.
func (s *session) close() {
	s.spawns.Lock()
	s.cancel()
	s.spawns.Unlock()
	s.helpers.Wait()
	if n := s.net.Load(); n != nil {
		n.sync.Stop()
		n.client.Close()
	}
	if s.drafts != nil {
		s.drafts.close()
	}
	if s.outbox != nil {
		s.outbox.Close()
	}
	if s.cache != nil {
		if err := s.cache.Close(); err != nil {
			s.e.log.Warn("close cache", "error", err)
		}
	}
	if err := s.local.Close(); err != nil {
		s.e.log.Warn("close local data", "error", err)
	}
}

// spawn runs a helper that close waits for; after close it does nothing.
func (s *session) spawn(f func()) {
	s.spawns.Lock()
	defer s.spawns.Unlock()
	if s.ctx.Err() == nil {
		s.helpers.Go(f)
	}
}

// post tells the engine's goroutine, unless the session is being closed.
func (s *session) post(ev event) {
	select {
	case s.e.events <- ev:
	case <-s.ctx.Done():
	}
}

// reported takes what sync says about the connection. The window hears of a
// new status at once, of mere progress now and then.
func (s *session) reported(r sync.Report) {
	if r.Status == sync.StatusSignedOut && s.account.Kind == AccountEmbedded {
		r.Status = sync.StatusConnecting // nobody has to sign in there; see connect
	}
	old := s.report.Swap(&r)
	now := int64(s.e.clock().Mono)
	if old.Status == r.Status && old.Problem == r.Problem && old.Proven == r.Proven && now-s.told.Load() < int64(time.Second) && (r.Position == r.Head) == (old.Position == old.Head) {
		return
	}
	s.told.Store(now)
	s.e.tell.state()
}

// changed takes what a write to the cache has changed.
func (s *session) changed(a cache.Applied) {
	if a.Everything || len(a.Conversations) > 0 || len(a.Threads) > 0 {
		s.countAgain()
	}
	if a.Everything || len(a.Conversations) > 0 {
		s.lookForMissing()
	}
	if a.Everything || len(a.Threads) > 0 {
		s.dropConfirmed()
	}
	s.laterChanged(a)
	if a.Everything {
		s.counted.Store(nil) // counted by who asks next
	}
	if !s.behind.Load() {
		s.tellChanged(a)
	}
	s.forgetFiles()
	if a.Directory || a.Access != nil {
		s.pace()
		s.e.tell.state()
	}
}

// tellChanged tells the window what to read again.
func (s *session) tellChanged(a cache.Applied) {
	if a.Everything {
		s.e.tell.everything()
		s.e.tell.state()
		if v := s.viewing.Load(); v != nil {
			s.e.tell.thread(v.String())
		}
	}
	for _, c := range a.Threads {
		// What the window never read it need not read again: the history that
		// comes in the background alone would be a hundred events a second.
		if _, read := s.threads.Load(c); read {
			s.e.tell.thread(c.String())
		}
	}
	for _, c := range a.Conversations {
		s.e.tell.list(c.String())
		if x, ok := s.drafts.local(c); ok && x.Text != "" {
			s.e.tell.state() // a draft whose chat is gone counts as not sent
		}
	}
	if len(a.Conversations) > 0 {
		s.e.tell.counts()
	}
}

// pace tells the outbox the pause that the workspace wants between messages.
func (s *session) pace() {
	raw, err := s.cache.Workspace(s.ctx)
	if err != nil {
		return // not cached yet; the server has the last word anyway
	}
	var w chat.Workspace
	if err := json.Unmarshal(raw, &w); err == nil {
		s.outbox.SetInterval(time.Duration(w.Settings.SendIntervalSeconds) * time.Second)
	}
}

// online lets go out what waited for the network.
func (s *session) online() {
	s.outbox.Wake()
	s.drafts.wake()
	s.dropConfirmed()
	s.searchAgain()
	s.lookForMissing()
	s.tellFailed(nil) // what a crash kept from being told
}

func (s *session) ended(wipe bool) {
	s.outbox.Pause(true)
	if s.account.Kind == AccountEmbedded && !wipe {
		select {
		case s.away <- struct{}{}:
		default: // is known
		}
		return
	}
	s.reported(sync.Report{Status: sync.StatusSignedOut, Problem: "You have been signed out. Sign in again to go on."})
	s.post(ended{s, wipe})
}

// heard turns ephemera into events of the window.
func (s *session) heard(f protocol.Frame) {
	if f.Type != protocol.FrameTyping || f.Member == s.me || s.behind.Load() {
		return
	}
	t := Typing{Conversation: f.Conversation.String(), TTL: f.TTL}
	if f.Member.IsZero() {
		t.Kind = string(chat.ActorCustomer)
		t.Name = s.contactLabel(f.Contact)
	} else {
		t.Kind, t.Member = string(chat.ActorMember), f.Member.String()
		t.Name = s.memberName(f.Member)
	}
	s.e.tell.typing(t)
}

func (s *session) contactLabel(id chat.ContactID) string {
	raw, err := s.cache.Contact(s.ctx, id)
	if err != nil {
		return ""
	}
	var c chat.Contact
	if json.Unmarshal(raw, &c) != nil {
		return ""
	}
	return c.Label()
}

func (s *session) memberName(id chat.MemberID) string {
	raw, err := s.cache.Member(s.ctx, id)
	if err != nil {
		return ""
	}
	var m chat.Member
	if json.Unmarshal(raw, &m) != nil {
		return ""
	}
	return m.Name
}
